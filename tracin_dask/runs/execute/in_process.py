"""Carries out a plan in this process: for small jobs, which should not pay for workers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tracin_dask.influence.columns import Targets
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.report.result import Norms
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.runs.audit.choice import Chosen
from tracin_dask.runs.audit.compare import Compared, compare
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.predictions.compute import score_parts
from tracin_dask.runs.predictions.task import RankTask, TripleScores
from tracin_dask.runs.work.job import Counters, Listed, OnRows, Scored, ScoreJob, TestSide, listed_rows, merge_scored
from tracin_dask.runs.work.reported import (
    Contributions,
    Reported,
    contributions,
    reported_norms,
    reported_self_influences,
)
from tracin_dask.runs.work.rows.fit import gather, merged_in_tree, pass_parts
from tracin_dask.runs.work.score import listed_influences, prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState


class InProcess:
    """Scores group after group, task after task; what it keeps between them goes with it."""

    def __init__(self, job: ScoreJob, targets: Targets | None, *, models: Sequence[Contents], cache: bool) -> None:
        """Take a job and its loaded models.

        With `cache`, the test triples' factors are computed once, otherwise by every task.
        """
        self._state = WorkerState()
        self._state.remember(job, models)
        self._job = job
        self._targets = targets
        self._test: TestSide = targets
        self._cache = cache and targets is not None
        self._listed: Listed = {}
        self._models = models

    def prepare(self) -> Counters:
        """Compute what all tasks share."""
        if self._job.needs_pass:
            self._job = self._after_pass(self._job)
        counters = Counters()
        if self._cache and isinstance(self._test, Targets):
            self._test = prepare_test(self._state, self._job, self._test)
            counters = self._test.counters
        listed = listed_rows(self._job.reductions)
        self._listed = {
            name: listed_influences(self._state, self._job, self._test, rows) for name, rows in listed.items()
        }
        return counters

    def score(self, groups: Iterable[list[Rows]], on_rows: OnRows) -> Iterator[tuple[Rows, Scored]]:
        """Give each group's rows and outcome when it is finished."""
        for tasks in groups:
            scored = self._score(tasks[0], on_rows)
            for rows in tasks[1:]:
                scored = merge_scored(self._job.reductions, [scored, self._score(rows, on_rows)])
            yield (tasks[0][0], tasks[-1][1]), scored

    def _score(self, rows: Rows, on_rows: OnRows) -> Scored:
        return score_rows(self._state, self._job, self._test, rows, on_rows=on_rows, listed=self._listed)

    def audit(self, chosen: Chosen) -> Compared:
        """Compute some influences once more, by plain automatic differentiation."""
        return compare(self._state, self._job, self._targets, chosen, self._models)

    def predictions(self, parts: Sequence[RankTask]) -> Sequence[TripleScores]:
        """Score and rank test triples."""
        return score_parts(self._state, self._job, parts, self._models)

    def contributions(self, reported: Reported) -> Contributions:
        """Score what is reported once more, checkpoint by checkpoint."""
        return contributions(self._state, self._job, self._targets, reported)

    def norms(self, reported: Reported) -> Norms:
        """Compute the norms of the test triples' gradients and of those that are reported."""
        assert self._targets is not None  # noqa: S101 - refused for self-influence
        return reported_norms(self._state, self._job, self._targets, reported)

    def self_influences(self, job: ScoreJob, reported: Reported) -> SelfInfluences:
        """Compute the self-influences of the test triples and of what is reported, by a job for these."""
        assert self._targets is not None  # noqa: S101 - refused in mode 'self'
        ready = self._job if job.scope is self._job.scope else self._after_pass(job)
        return reported_self_influences(self._state, ready, self._targets, reported)

    def _after_pass(self, job: ScoreJob) -> ScoreJob:
        """Go through the training triples for the preconditioner of a job."""
        parts = (gather(self._state, job, part) for part in pass_parts(job))
        return replace(job, gathered=merged_in_tree(job, parts))
