"""Carries out a plan on the workers of a Dask client."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import dask
import numpy as np
from distributed import Client, Future
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ClusterError
from tracin_dask.influence.columns import Targets
from tracin_dask.monitor.events import progress_topic
from tracin_dask.monitor.hope import CANCELLED, explained, finished
from tracin_dask.monitor.watch import Watch, lost
from tracin_dask.report.result import Norms
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.resources import ask
from tracin_dask.runs.audit.choice import Chosen
from tracin_dask.runs.audit.compare import Compared
from tracin_dask.runs.execute import on_worker
from tracin_dask.runs.execute.group_progress import GroupProgress, seconds_between_reports
from tracin_dask.runs.execute.task_graph import TaskFunctions, one_task_per_worker, task_graph
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.predictions.task import RankTask, TripleScores
from tracin_dask.runs.work.job import (
    Counters,
    OnRows,
    Scored,
    ScoreJob,
    listed_rows,
    this_process,
)
from tracin_dask.runs.work.reported import Contributions, Reported
from tracin_dask.runs.work.rows import fit


class OnDask:
    """Submits all tasks in one graph, merges groups on the workers, and fetches one small outcome per group."""

    def __init__(
        self, client: Client, job: ScoreJob, targets: Targets | None, *, run: str, cache: bool, watch: Watch
    ) -> None:
        """Take a job, the id of its run, and who watches over the workers.

        With `cache`, the test triples' factors are computed once, otherwise by every task.
        """
        self._client = client
        self._job = replace(job, caller=this_process())
        self._targets = targets
        self._cache = cache and targets is not None
        self._shared: Future[Any] | None = None
        self._listed: Future[Any] | None = None
        self._held: list[Future[Any]] = []
        self._gathered: Future[Any] | None = None
        self._sent: Collection[str] = ()
        self._weights: Future[Any] | None = None
        self._id = run
        self._watch = watch

    def prepare(self) -> Counters:
        """See to it that all workers get the checkpoints, and compute what all tasks share.

        Raises
        ------
        ClusterError
            If a worker has another tracin-dask, does not see the store, or cannot write where all influences are to be
            saved, workers die again and again at the test triples, or the cluster is lost.
        """
        with self._watch, self._explained():
            return self._prepare()

    def _prepare(self) -> Counters:
        self._refuse_other_code()
        workers, weights = self._look_for_files()
        self._look_at_reductions()
        shared = on_worker.Shared(
            job=self._job,
            test=self._targets,
            run=self._id,
            report_seconds=seconds_between_reports(len(workers)),
        )
        job = self._submit("job", on_worker.with_weights, self._job, weights)
        self._gathered = self._gather(job, self._job) if self._job.needs_pass else None
        share = on_worker.share_prepared if self._cache else on_worker.share
        self._shared = self._submit("share", share, shared, weights, self._gathered)
        graph, loads = one_task_per_worker(workers, on_worker.load, job, f"load-{self._id}")
        self._held += self._client.get(graph, loads, sync=False)  # while one of them computes the factors
        try:
            counters: Counters = self._result(self._submit("count", on_worker.counters, self._shared))
            self._listed = self._find_listed(len(workers))
        except BaseException:
            self._let_go()
            raise
        return counters

    def score(self, groups: Iterable[list[Rows]], on_rows: OnRows) -> Iterator[tuple[Rows, Scored]]:
        """Give each group's rows and outcome when it is finished, in any order.

        Raises
        ------
        ClusterError
            If workers die again and again at the same task, or the cluster is lost.
        """
        groups = list(groups)
        progress = GroupProgress(groups, on_rows)
        topic = progress_topic(self._id)
        self._client.subscribe_topic(topic, lambda event: progress.add(event[1]["group"], event[1]["rows"]))
        futures = self._submit_groups(groups)
        with self._watch, self._explained():
            try:
                for future, scored in self._finished(futures):
                    rows = futures.pop(future)
                    progress.finish(rows[0])
                    yield rows, scored
            finally:
                self._let_go()
                if self._client.status == "running":
                    self._client.cancel(list(futures))
                    self._client.unsubscribe_topic(topic)

    def audit(self, chosen: Chosen) -> Compared:
        """Let a worker compute some influences once more, by plain automatic differentiation; raises as `prepare`."""
        found: Compared = self._afterwards("audit", on_worker.audit, chosen)
        return found

    def predictions(self, parts: Sequence[RankTask]) -> Sequence[TripleScores]:
        """Let workers score and rank test triples, part by part; raises as `prepare`."""
        with self._watch, self._explained():
            _, weights = self._look_for_files()
            job = self._submit("job-for-predictions", on_worker.with_weights, self._job, weights)
            try:
                with _large_graphs_allowed():
                    futures = [
                        self._submit(f"predictions-{number}", on_worker.predictions_of, job, part)
                        for number, part in enumerate(parts)
                    ]
                    return [self._result(future) for future in futures]
            finally:
                self._let_go()

    def contributions(self, reported: Reported) -> Contributions:
        """Let a worker score what is reported once more, checkpoint by checkpoint; raises as `prepare`."""
        found: Contributions = self._afterwards("contributions", on_worker.contributions_of, reported)
        return found

    def norms(self, reported: Reported) -> Norms:
        """Let a worker compute the norms of the test triples and of what is reported; raises as `prepare`."""
        found: Norms = self._afterwards("norms", on_worker.norms_of, reported)
        return found

    def self_influences(self, job: ScoreJob, reported: Reported) -> SelfInfluences:
        """Let a worker compute the self-influences of the test triples and of what is reported; raises as `prepare`."""
        own = replace(job, caller=this_process())
        with self._watch, self._explained():
            found: SelfInfluences = self._look_again("self-influences", on_worker.self_influences_of, reported, own=own)
        return found

    def _gather(self, job: "Future[Any]", plain: ScoreJob, name: str = "gather") -> "Future[Any]":
        """Let the workers go through the training triples for the preconditioner of a job; held as long as wanted."""
        level = [
            self._client.submit(on_worker.gather_part, job, part, key=f"{name}-{number}-{self._id}", pure=False)
            for number, part in enumerate(fit.pass_parts(plain))
        ]
        for depth in itertools.count():
            level = [
                self._client.submit(
                    fit.merge_gathered,
                    plain,
                    level[at : at + fit.MERGE_FAN_IN],
                    key=f"{name}-merged-{depth}-{at}-{self._id}",
                    pure=False,
                )
                for at in range(0, len(level), fit.MERGE_FAN_IN)
            ]
            if len(level) == 1:
                break
        (future,) = level
        return future

    def _afterwards(self, name: str, function: Any, asked: Reported | Chosen) -> Any:  # noqa: ANN401 - as `_submit`
        """Let a worker look at some training triples once more."""
        with self._watch, self._explained():
            return self._look_again(name, function, asked)

    def _look_again(
        self,
        name: str,
        function: Any,  # noqa: ANN401 - as `_submit`
        asked: Reported | Chosen,
        own: ScoreJob | None = None,
    ) -> Any:  # noqa: ANN401 - as `_submit`
        """Look by the job of the run, or by one whose preconditioner is for other rows."""
        plain, gathered = own or self._job, self._gathered
        _, weights = self._look_for_files()
        if own is not None and own.scope is not self._job.scope:
            before = self._submit(f"job-before-{name}", on_worker.with_weights, own, weights)
            gathered = self._gather(before, own, f"gather-for-{name}")
        job = self._submit(f"job-for-{name}", on_worker.with_weights, plain, weights, gathered)
        try:
            with _large_graphs_allowed():
                return self._result(self._submit(name, function, job, self._targets, asked))
        finally:
            self._let_go()

    def _finished(self, futures: "Collection[Future[Any]]") -> "Iterator[tuple[Future[Any], Any]]":
        """Give each task that is finished with its outcome, as long as there is hope for the others."""
        for future, outcome in finished(self._client, futures, self._watch.check, with_results=True):
            if isinstance(outcome, CANCELLED):
                raise outcome
            yield future, outcome

    def _result(self, future: "Future[Any]") -> Any:  # noqa: ANN401 - as `_submit`
        """Wait for the result of a task, as long as there is hope for it.

        `Future.result` with a time limit is no way: cut short at a bad moment, it raises an UnboundLocalError.
        """
        [(_, result)] = self._finished([future])
        return result

    def _explained(self) -> AbstractContextManager[None]:
        """Say in words what happened to the cluster."""
        remedy = "give a smaller --batch-size, or fewer --workers with more memory each"
        return explained(self._client, remedy, partial(lost, self._client))

    def _ask(self, function: Any, *arguments: object) -> dict[str, Any]:  # noqa: ANN401 - as `_submit`
        """Ask all workers, and again if one is stopped or restarts: the watch says so."""
        return ask(self._client, function, *arguments, check=self._watch.check)

    def _refuse_other_code(self) -> None:
        """Refuse workers with other code: they would compute other bits, or never answer a task they cannot read."""
        mine = on_worker.code()
        for worker, theirs in self._ask(on_worker.code).items():
            if theirs != mine:
                raise ClusterError(
                    f"worker {worker} has another tracin-dask than this process; install the same version on both"
                )

    def _look_for_files(self) -> "tuple[list[str], Future[Any] | None]":
        """Give the workers' addresses, and the weights of checkpoints that some of them do not see or may not read."""
        files = [str(file.path) for file in self._job.checkpoints]
        needed = {self._job.store.path: "store"}
        numbers = [given for reduction in self._job.reductions for given in reduction.needs.numbers]
        needed |= {given.path: "groups" for given in numbers if given.path is not None}
        missing = self._ask(on_worker.missing, [*needed, *files])
        for worker, paths in missing.items():
            for path in needed.keys() & paths.keys():
                if paths[path]:
                    raise ClusterError(f"worker {worker} cannot read the {needed[path]}: {paths[path]}")
                raise ClusterError(
                    f"worker {worker} does not see the {needed[path]} {path}; "
                    "put it on a file system that all workers share and give that path"
                )
        unseen = {path for paths in missing.values() for path in paths}
        unseen |= {str(file.path) for file in self._job.checkpoints if file.is_pickle}
        return list(missing), self._send_weights(unseen) if unseen else None

    def _look_at_reductions(self) -> None:
        """Let every worker try whether the reductions can work there."""
        for reduction in self._job.reductions:
            if reduction.needs.why_unusable is None:
                continue
            for worker, reason in self._ask(reduction.needs.why_unusable).items():
                if reason is not None:
                    raise ClusterError(f"worker {worker} {reason}")

    def _find_listed(self, num_workers: int) -> "Future[Any]":
        """Let the workers share out the batches of listed rows, and put their influences into a task of their own."""
        found: dict[str, Float[ndarray, "listed column"]] = {}
        for name, rows in listed_rows(self._job.reductions).items():
            places = _shares(rows // self._job.batch_size, num_workers)
            futures = [
                self._submit(f"{name}-{number}", on_worker.influences_of_listed, self._shared, rows[place])
                for number, place in enumerate(places)
            ]
            parts = np.concatenate([self._result(future) for future in futures])
            found[name] = np.empty_like(parts)
            found[name][np.concatenate(places)] = parts
        with _large_graphs_allowed():
            return self._submit("listed", dict, found)

    def _submit_groups(self, groups: Sequence[Sequence[Rows]]) -> "dict[Future[Any], Rows]":
        if not groups:
            return {}
        functions = TaskFunctions(score=on_worker.score, merge=on_worker.merge)
        graph, outcomes = task_graph(groups, [self._shared, self._listed], functions, self._id)
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

    def _send_weights(self, unseen: set[str]) -> "Future[Any]":
        """Put the weights into a task, which Dask can repeat wherever a worker is lost; held as long as the run."""
        if self._weights is None or not unseen.issubset(self._sent):
            weights = [file.dump() if str(file.path) in unseen else None for file in self._job.checkpoints]
            with _large_graphs_allowed():
                self._weights = self._client.submit(tuple, weights, key=f"weights-{len(unseen)}-{self._id}", pure=False)
            self._sent = unseen
        return self._weights


def _large_graphs_allowed() -> AbstractContextManager[None]:
    """Let Dask send what is large once without a warning."""
    allowed: AbstractContextManager[None] = dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"})
    return allowed


def _shares(batch: Int[ndarray, " listed"], number: int) -> list[Int[ndarray, " place"]]:
    """Share listed rows out among some workers, the rows of a batch together; gives their places in the list."""
    parts = np.array_split(np.unique(batch), number)
    return [np.flatnonzero(np.isin(batch, part)) for part in parts if len(part)]
