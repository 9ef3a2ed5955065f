"""What stands in for the scoring on simulated workers: sleeping, and outcomes of real size."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from distributed import get_worker

from simulated_cluster.sizes import NUM_RELATIONS
from tracin_dask.influence.columns import Targets, answers_of
from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.topk import Ranking, TopK
from tracin_dask.influence.reductions.topk_reduction import TopKReduction
from tracin_dask.runs.execute import driver, on_worker
from tracin_dask.runs.plan.memory import read_rows
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import Counters, OnRows, Prepared, Scored, ScoreJob, bytes_of

Interval = tuple[float, float]
"""When a task started and when it ended, in seconds of this machine's clock."""

LARGEST_INFLUENCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    values: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedWork:
    """How long scoring takes and how much is broadcast.

    Attributes
    ----------
    triples_per_second
        Of one worker.
    spread
        Tasks take between 1 - spread and 1 + spread times their rows' seconds, the same in every run.
    test_bytes
        Size of the broadcast factors of the test triples.
    """

    triples_per_second: float
    spread: float = 0.0
    test_bytes: int = 0

    def seconds(self, rows: Rows) -> float:
        """Give the seconds that scoring these rows takes."""
        luck = np.random.default_rng(rows[0]).uniform(-self.spread, self.spread)
        return (rows[1] - rows[0]) / self.triples_per_second * (1 + luck)

    def prepare_test(self, _state: object, job: ScoreJob, targets: Targets) -> Prepared:
        """Stand in for `worker.prepare_test`: as many bytes, of no meaning."""
        factors = _Factors(values=torch.zeros(self.test_bytes, dtype=torch.uint8))
        answers = answers_of(targets, job.question.num_gradients(job.scoring.loss))
        counters = Counters(test_factor_computations=1)
        return Prepared(tests=(factors,), answers=(answers,), counters=counters)  # type: ignore[arg-type] # stands in for factors

    def load_ahead(self, _state: object, _job: ScoreJob) -> None:
        """Stand in for `worker.load_ahead`: there is no checkpoint."""

    def score_rows(
        self,
        _state: object,
        job: ScoreJob,
        _test: object,
        rows: Rows,
        *,
        on_rows: OnRows | None = None,
        listed: object = None,  # noqa: ARG002 - as the product calls it
    ) -> Scored:
        """Stand in for `worker.score_rows`: sleep for its time, report as it does, return as much as it does."""
        started, seconds = time.time(), self.seconds(rows)
        top = _made_up(_top_k(job), job.num_columns, rows, nth_task=_count_task())
        step = read_rows(job.batch_size)
        for start in range(*rows, step):
            stop = min(start + step, rows[1])
            due = started + seconds * (stop - rows[0]) / (rows[1] - rows[0])
            time.sleep(max(0.0, due - time.time()))
            if on_rows is not None:
                on_rows(stop - start)
        finished.append((started, time.time()))
        counters = Counters(rows=rows[1] - rows[0], tasks=1, task_seconds=seconds)
        kept = {topk.NAME: top}
        size = bytes_of(job.reductions, kept)
        return Scored(kept=kept, kept_bytes=size, counters=counters, device="simulated", precision="simulated")


finished: list[Interval] = []
"""The tasks of all simulated workers of this process."""


def install(work: SimulatedWork) -> None:
    """Let the tasks of this process sleep from now on; the one place where the simulation replaces the product."""
    on_worker.score_rows = work.score_rows
    on_worker.prepare_test = work.prepare_test
    on_worker.load_ahead = work.load_ahead


def install_here() -> None:
    """Let the process that starts the run not ask what the model says of the test triples: there are no rows."""
    driver.predictions_of = lambda _prepared, _score: (None, {})


def take_finished() -> list[Interval]:
    """Give the intervals of this process's tasks since the last call."""
    taken = list(finished)
    del finished[: len(taken)]
    return taken


_tasks: Counter[str] = Counter()
"""Tasks of each simulated worker of this process; a simulation carries out one run."""


def _count_task() -> int:
    """Say the how-many-eth task of its worker this is."""
    address = get_worker().address
    _tasks[address] += 1
    return _tasks[address]


def _top_k(job: ScoreJob) -> int:
    """Give k: of such a run, the best triples are all that is kept."""
    (reduction,) = job.reductions
    assert isinstance(reduction, TopKReduction)  # noqa: S101 - nothing else is asked for
    return reduction.k


def _made_up(k: int, num_columns: int, rows: Rows, *, nth_task: int) -> TopK:
    """Make an outcome of rows.

    A worker's first task returns k entries of every column, the n-th those that are among the best k of n tasks: as
    rows are in no order of influence, k / n.
    """
    top = _template(k, num_columns, -(-k // nth_task))
    return replace(top, highest=_moved(top.highest, rows), lowest=_moved(top.lowest, rows))


def _moved(side: Ranking, rows: Rows) -> Ranking:
    """Give entries other rows; their influences change in their last digits, so that merging has something to do."""
    spread = 1 + 1e-9 * np.random.default_rng(rows[0]).uniform()
    return replace(side, influence=side.influence * spread, train_index=side.train_index + rows[0])


@cache
def _template(k: int, num_columns: int, entries: int) -> TopK:
    """Make random influences once per process; making them in every task would cost what real workers do not pay."""
    random = np.random.default_rng(1)
    values = np.sort(random.uniform(0, LARGEST_INFLUENCE, (num_columns, entries)), axis=1)[:, ::-1].ravel()
    columns = np.repeat(np.arange(num_columns), entries)
    triples = random.integers(0, NUM_RELATIONS, (len(values), 3))  # ids that the small store has
    highest = Ranking(test_index=columns, influence=values, train_index=np.arange(len(values)), triples=triples)
    return TopK(k=k, highest=highest, lowest=replace(highest, influence=-values))
