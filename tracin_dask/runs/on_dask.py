"""Carries out a plan on the workers of a Dask client."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import dask
import torch
from dask.sizeof import sizeof
from distributed import Client, Future, KilledWorker, as_completed, get_worker
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ClusterError
from tracin_dask.influence.tensors import num_bytes
from tracin_dask.influence.topk import Ranking
from tracin_dask.monitor.events import TOPIC, progress_topic
from tracin_dask.runs.group_progress import GroupProgress, SeldomReport, seconds_between_reports
from tracin_dask.runs.plan import Rows
from tracin_dask.runs.task_graph import TaskFunctions, one_task_per_worker, task_graph
from tracin_dask.runs.worker import (
    Counters,
    OnRows,
    Prepared,
    Scored,
    ScoreJob,
    TestSide,
    load_ahead,
    merge_scored,
    prepare_test,
    score_rows,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What every task needs, held once by each worker; workers copy it from one another."""

    job: ScoreJob
    test: TestSide
    run: str
    """The run's id, under which progress is reported."""
    report_seconds: float
    """Time between two reports of a worker."""


class OnDask:
    """Submits all tasks in one graph, merges groups on the workers, and fetches one small outcome per group."""

    def __init__(
        self, client: Client, job: ScoreJob, test_triples: Int[ndarray, "test 3"] | None, *, run: str, cache: bool
    ) -> None:
        """Take a job and the id of its run.

        With `cache`, the test triples' factors are computed once, otherwise by every task.
        """
        self._client = client
        self._job = job
        self._test_triples = test_triples
        self._cache = cache and test_triples is not None
        self._shared: Future[Any] | None = None
        self._held: list[Future[Any]] = []
        self._id = run

    def prepare(self) -> Counters:
        """See to it that all workers get the checkpoint, and compute what all tasks share.

        Raises
        ------
        ClusterError
            If a worker does not see the store, or workers die again and again at the test triples.
        """
        missing = self._client.run(_missing, [self._job.store.path, str(self._job.checkpoint.path)])
        for worker, paths in missing.items():
            if self._job.store.path in paths:
                raise ClusterError(
                    f"worker {worker} does not see the store {self._job.store.path}; "
                    "put it on a file system that all workers share and give that path"
                )
        weights = self._send_weights() if any(missing.values()) else None
        shared = _Shared(
            job=self._job,
            test=self._test_triples,
            run=self._id,
            report_seconds=seconds_between_reports(len(missing)),
        )
        self._shared = self._submit("share", _share_prepared if self._cache else _share, shared, weights)
        job = self._submit("job", _with_weights, self._job, weights)
        graph, loads = one_task_per_worker(list(missing), _load, job, f"load-{self._id}")
        self._held += self._client.get(graph, loads, sync=False)  # beside the factors, which one of them computes
        try:
            with _killed_workers_explained():
                counters: Counters = self._submit("count", _counters, self._shared).result()
        except BaseException:
            self._let_go()
            raise
        return counters

    def score(self, groups: Iterable[list[Rows]], on_rows: OnRows) -> Iterator[tuple[Rows, Scored]]:
        """Give each group's rows and outcome when it is finished, in any order.

        Raises
        ------
        ClusterError
            If workers die again and again at the same task.
        """
        groups = list(groups)
        progress = GroupProgress(groups, on_rows)
        topic = progress_topic(self._id)
        self._client.subscribe_topic(topic, lambda event: progress.add(event[1]["group"], event[1]["rows"]))
        futures = self._submit_groups(groups)
        try:
            with _killed_workers_explained():
                for future, scored in as_completed(futures, with_results=True, loop=self._client.loop):
                    rows = futures.pop(future)
                    progress.finish(rows[0])
                    yield rows, scored
        finally:
            self._client.cancel(list(futures))
            self._let_go()
            self._client.unsubscribe_topic(topic)

    def _submit_groups(self, groups: Sequence[Sequence[Rows]]) -> "dict[Future[Any], Rows]":
        if not groups:
            return {}
        functions = TaskFunctions(score=_score, merge=merge_scored)
        graph, outcomes = task_graph(groups, self._shared, functions, self._id)
        futures = self._client.get(graph, outcomes, sync=False)
        return {future: (tasks[0][0], tasks[-1][1]) for future, tasks in zip(futures, groups, strict=True)}

    def _submit(self, name: str, function: Any, *arguments: object) -> "Future[Any]":  # noqa: ANN401 - Dask takes any callable
        future = self._client.submit(function, *arguments, key=f"{name}-{self._id}", pure=False)
        self._held.append(future)
        return future

    def _let_go(self) -> None:
        """Let the workers forget what was submitted, even while a traceback holds this object."""
        for future in self._held:
            future.release()
        self._held.clear()

    def _send_weights(self) -> "Future[Any]":
        """Put the weights into a task, which Dask can repeat wherever a worker is lost."""
        buffer = io.BytesIO()
        torch.save(self._job.checkpoint.load().state_dict(), buffer)
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._submit("weights", bytes, buffer.getvalue())


@contextmanager
def _killed_workers_explained() -> Iterator[None]:
    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            f"workers died repeatedly at the same task ({error}); most often they ran out of memory: "
            "give a smaller --batch-size, or fewer --workers with more memory each"
        ) from error


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not Path(path).exists()]


def _share(shared: _Shared, weights: bytes | None) -> _Shared:
    return replace(shared, job=_with_weights(shared.job, weights))


def _with_weights(job: ScoreJob, weights: bytes | None) -> ScoreJob:
    return job if weights is None else replace(job, checkpoint=replace(job.checkpoint, weights=weights))


def _load(job: ScoreJob) -> None:
    load_ahead(job)


def _share_prepared(shared: _Shared, weights: bytes | None) -> _Shared:
    whole = _share(shared, weights)
    assert isinstance(whole.test, ndarray)  # noqa: S101 - the test triples, which are not prepared yet
    return replace(whole, test=prepare_test(whole.job, whole.test))


def _counters(shared: _Shared) -> Counters:
    return shared.test.counters if isinstance(shared.test, Prepared) else Counters()


def _score(shared: _Shared, rows: Rows, group: int) -> Scored:
    worker = get_worker()
    topics = [TOPIC, progress_topic(shared.run)]

    def report(count: int) -> None:
        where = {"run": shared.run, "group": group, "task": rows[0]}
        worker.log_event(topics, {"event": "rows", "rows": count, **where})

    return score_rows(shared.job, shared.test, rows, on_rows=SeldomReport(report, shared.report_seconds))


@sizeof.register(_Shared)  # type: ignore[untyped-decorator] # Dask has no types
def _shared_bytes(shared: _Shared) -> int:
    """Tell Dask, which would count a frozen dataclass as nothing, what moving it costs."""
    test = num_bytes(shared.test.test) if isinstance(shared.test, Prepared) else 0
    return test + len(shared.job.checkpoint.weights or b"")


@sizeof.register(Scored)  # type: ignore[untyped-decorator] # Dask has no types
def _scored_bytes(scored: Scored) -> int:
    sides = (scored.top.highest, scored.top.lowest)
    return sum(getattr(side, field.name).nbytes for side in sides for field in fields(Ranking))
