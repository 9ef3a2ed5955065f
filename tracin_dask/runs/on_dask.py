"""Carries out a plan on the workers of a Dask client."""

import io
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import torch
from distributed import Client, Future, KilledWorker, as_completed, get_worker
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ClusterError
from tracin_dask.runs.plan import Rows
from tracin_dask.runs.worker import Counters, OnRows, Prepared, Scored, ScoreJob, merge_scored, prepare_test, score_rows

_MERGE_FAN_IN = 8


class OnDask:
    """Submits all tasks, merges each group in a tree on the workers, and fetches one small outcome per group."""

    def __init__(
        self, client: Client, job: ScoreJob, test_triples: Int[ndarray, "test 3"] | None, *, cache: bool
    ) -> None:
        """Take a job; with `cache`, the test triples' factors are computed once, otherwise by every task."""
        self._client = client
        self._job = job
        self._test: Future[Any] | ndarray | None = test_triples
        self._cache = cache and test_triples is not None
        self._weights: Future[Any] | None = None
        self._id = uuid.uuid4().hex[:8]

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
        if any(missing.values()):
            self._weights = self._send_weights()
        if not self._cache:
            return Counters()
        self._test = self._submit("prepare-test", _prepare, self._job, self._weights, self._test)
        with _killed_workers_explained():
            counters: Counters = self._submit("count-test", _counters, self._test).result()
        return counters

    def score(self, groups: Iterable[list[Rows]], on_rows: OnRows) -> Iterator[tuple[Rows, Scored]]:
        """Give each group's rows and outcome when it is finished, in any order.

        Raises
        ------
        ClusterError
            If workers die again and again at the same task.
        """
        topic = f"tracin-dask-{self._id}"
        self._client.subscribe_topic(topic, lambda event: on_rows(event[1]["rows"]))
        futures = {self._submit_group(tasks, topic): (tasks[0][0], tasks[-1][1]) for tasks in groups}
        try:
            with _killed_workers_explained():
                for future, scored in as_completed(futures, with_results=True, loop=self._client.loop):
                    yield futures.pop(future), scored
        finally:
            self._client.cancel(list(futures))
            self._client.unsubscribe_topic(topic)

    def _submit_group(self, tasks: list[Rows], topic: str) -> "Future[Any]":
        level = [
            self._submit(f"score-rows-{start}", _score, self._job, self._weights, self._test, (start, stop), topic)
            for start, stop in tasks
        ]
        while len(level) > 1:
            cut = [level[at : at + _MERGE_FAN_IN] for at in range(0, len(level), _MERGE_FAN_IN)]
            name = f"merge-{tasks[0][0]}-{len(cut)}"
            level = [self._submit(f"{name}-{number}", merge_scored, part) for number, part in enumerate(cut)]
        return level[0]

    def _submit(self, name: str, function: Any, *arguments: object) -> "Future[Any]":  # noqa: ANN401 - Dask takes any callable
        return self._client.submit(function, *arguments, key=f"{name}-{self._id}", pure=False)

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


def _with_weights(job: ScoreJob, weights: bytes | None) -> ScoreJob:
    return job if weights is None else replace(job, checkpoint=replace(job.checkpoint, weights=weights))


def _prepare(job: ScoreJob, weights: bytes | None, test_triples: ndarray) -> Prepared:
    return prepare_test(_with_weights(job, weights), test_triples)


def _counters(prepared: Prepared) -> Counters:
    return prepared.counters


def _score(job: ScoreJob, weights: bytes | None, test: Prepared | ndarray | None, rows: Rows, topic: str) -> Scored:
    worker = get_worker()

    def report(count: int) -> None:
        worker.log_event(topic, {"rows": count})

    return score_rows(_with_weights(job, weights), test, rows, on_rows=report)
