"""The state of a running run, kept up to date from its events and the transitions of its tasks."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracin_dask.monitor.pace import RECENT_SECONDS, Pace

Rows = tuple[int, int]

SAMPLE_SECONDS = 1.0
MAX_SAMPLES = 3_600
MAX_FAILURES = 20
RUNNING = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTriple:
    """One of the strongest training triples so far, with its names."""

    test: str
    rank: int
    influence: float
    head: str
    relation: str
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BestList:
    """The strongest training triples so far of one test triple, or of whatever else a run ranks them for."""

    test: str
    triples: tuple[BestTriple, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestLists:
    """The lists of the first test triples."""

    word: str = ""
    """What they are of, such as "test triple"; nothing for self-influence."""
    total: int = 0
    """The number of test triples, of which only the first are shown."""
    lists: tuple[BestList, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A task that raised an error, or a worker that was lost."""

    time: float
    """Seconds since 1970."""
    worker: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A snapshot of a run."""

    run: str
    outcome: str
    """running, finished, or why it stopped."""
    num_triples: int
    triples_done: int
    num_tasks: int
    tasks_done: int
    seconds: float
    """Since the start."""
    triples_per_second: float
    """Recently, or of the whole run once it has ended."""
    seconds_left: float | None
    """None while the speed is unknown."""
    by_worker: Mapping[str, float]
    """Triples per second of each worker that scored something recently."""
    scored_by_worker: Mapping[str, int]
    """Triples that each worker has scored since the start, repeated ones included."""
    tasks_retried: int
    tasks_failed: int
    workers_lost: int
    failures: tuple[Failure, ...]
    """The most recent ones, newest first."""
    best: tuple[BestTriple, ...]
    """A few of the first test triples, for metrics."""
    lists: BestLists
    """More of them, for the page."""
    history: tuple[tuple[float, float], ...]
    """(seconds since 1970, triples per second), at most one point per second."""


class RunState:
    """Collects the events of one run; all times are seconds since 1970."""

    def __init__(self, event: Mapping[str, Any], now: float) -> None:
        """Start with the event `start` of a run."""
        self.run = str(event["run"])
        self._num_triples, self._num_tasks = int(event["triples"]), int(event["tasks"])
        self._resumed = int(event["resumed_triples"])
        self._started = now
        self._ended: float | None = None
        self._outcome = RUNNING
        self._starts: Counter[Rows] = Counter()
        self._done: set[Rows] = set()
        self._rows_done = 0
        self._in_task: Counter[tuple[str, int]] = Counter()
        """Rows reported for an unfinished task, by worker and first row of the task."""
        self._pace = Pace(self._num_triples, self._resumed, now)
        self._scored: Counter[str] = Counter()
        self._recent: deque[tuple[float, str, int]] = deque()
        self._failures: deque[Failure] = deque(maxlen=MAX_FAILURES)
        self._failed = self._lost = 0
        self._best: tuple[BestTriple, ...] = ()
        self._lists = BestLists()
        self._history: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)

    @property
    def is_running(self) -> bool:
        """Whether no `end` event has arrived."""
        return self._ended is None

    def reported(self, worker: str, task: int, rows: int, now: float) -> None:
        """Record that a worker scored rows of the task that starts at row `task`."""
        self._in_task[worker, task] += rows
        self._count(worker, rows, now)
        self._note(now)

    def task_started(self, rows: Rows) -> None:
        """Record that a task was sent to a worker; sending it again counts as a retry."""
        self._starts[rows] += 1

    def task_finished(self, rows: Rows, worker: str, now: float) -> None:
        """Record that a task is done, and count its rows that the worker had not reported."""
        self._count(worker, rows[1] - rows[0] - self._in_task.pop((worker, rows[0]), 0), now)
        if rows not in self._done:
            self._done.add(rows)
            self._rows_done += rows[1] - rows[0]
        self._note(now)

    def task_failed(self, rows: Rows, worker: str, message: str, now: float) -> None:
        """Record that a task raised an error."""
        self._failed += 1
        self._in_task.pop((worker, rows[0]), None)
        self._failures.appendleft(Failure(time=now, worker=worker, message=message))

    def worker_lost(self, worker: str, now: float) -> None:
        """Record that a worker left; the rows of its unfinished tasks no longer count."""
        for key in [key for key in self._in_task if key[0] == worker]:
            del self._in_task[key]
        if self.is_running:
            self._lost += 1
            self._failures.appendleft(Failure(time=now, worker=worker, message="worker lost; its tasks run again"))
            self._note(now)

    def best(self, triples: Sequence[Mapping[str, Any]]) -> None:
        """Replace the strongest training triples so far."""
        self._best = tuple(BestTriple(**triple) for triple in triples)

    def lists(self, event: Mapping[str, Any]) -> None:
        """Replace the lists that the page shows by those of an event `lists`."""
        self._lists = BestLists(
            word=event["word"], total=event["total"], lists=tuple(_best_list(one) for one in event["lists"])
        )

    def ended(self, outcome: str, now: float) -> None:
        """Record that the run ended."""
        self._outcome, self._ended = outcome, now

    def figures(self, now: float) -> Figures:
        """Return the current figures."""
        end = now if self._ended is None else self._ended
        rate = self._pace.rate(end) if self.is_running else self._pace.mean_rate(end)
        return Figures(
            run=self.run,
            outcome=self._outcome,
            num_triples=self._num_triples,
            triples_done=self._triples_done,
            num_tasks=self._num_tasks,
            tasks_done=len(self._done),
            seconds=end - self._started,
            triples_per_second=rate,
            seconds_left=self._pace.seconds_left(end) if self.is_running else 0.0,
            by_worker=self._rates(end),
            scored_by_worker=dict(self._scored),
            tasks_retried=sum(starts - 1 for starts in self._starts.values()),
            tasks_failed=self._failed,
            workers_lost=self._lost,
            failures=tuple(self._failures),
            best=self._best,
            lists=self._lists,
            history=tuple(self._history),
        )

    @property
    def _triples_done(self) -> int:
        return min(self._resumed + self._rows_done + sum(self._in_task.values()), self._num_triples)

    def _count(self, worker: str, rows: int, now: float) -> None:
        """Record rows that a worker scored; the progress of the run is noted after each of its reports."""
        self._scored[worker] += rows
        self._recent.append((now, worker, rows))

    def _note(self, now: float) -> None:
        """Record how far the run is."""
        self._pace.report(self._triples_done, now)
        if not self._history or now - self._history[-1][0] >= SAMPLE_SECONDS:
            self._history.append((now, self._pace.rate(now)))

    def _rates(self, now: float) -> dict[str, float]:
        """Return triples per second by worker; a run younger than the span is averaged since its start."""
        while self._recent and self._recent[0][0] < now - RECENT_SECONDS:
            self._recent.popleft()
        span = min(RECENT_SECONDS, now - self._started)
        rows: Counter[str] = Counter()
        for _, worker, count in self._recent:
            rows[worker] += count
        return {worker: count / span for worker, count in sorted(rows.items())} if span > 0 else {}


def _best_list(given: Mapping[str, Any]) -> BestList:
    """Read one list of an event; its triples are (influence, head, relation, tail), the strongest first."""
    test = given["test"]
    triples = tuple(
        BestTriple(test=test, rank=rank, influence=influence, head=head, relation=relation, tail=tail)
        for rank, (influence, head, relation, tail) in enumerate(given["triples"], start=1)
    )
    return BestList(test=test, triples=triples)
