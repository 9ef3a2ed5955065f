"""What a process keeps of a run from task to task: its models, and what is laid out for the test triples."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from tracin_dask.influence.columns import Answers
from tracin_dask.influence.engine import BatchScorer, Engine, EngineModel, Factors
from tracin_dask.influence.normalised import NormalisedScorer, without_powers
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.summed import SelfScorer, SummedScorer
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import Prepared, ScoreJob
from tracin_dask.runs.work.loading import Models
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.process import ThisProcess, computing


@dataclass(slots=True)
class LaidOut:
    """The scorer of the test triples of a run, laid out once for all tasks, and what these have found."""

    job: ScoreJob
    models: list[EngineModel]
    batches: InPieces
    seen: dict[str, Any] = field(default_factory=dict)
    """Outcomes of all rows that were scored here, of the reductions that need them."""
    scored: list[Rows] = field(default_factory=list)
    """The rows that `seen` is about."""

    def remember(self, rows: Rows, kept: Mapping[str, Any]) -> None:
        """Take in what a task found; rows that are scored again, for a worker that was lost, must not count twice."""
        start, stop = rows
        if any(first < stop and start < end for first, end in self.scored):
            return
        self.scored.append(rows)
        for reduction in self.job.reductions:
            if reduction.needs.seen:
                name = reduction.name
                before = [self.seen[name]] if name in self.seen else []
                self.seen[name] = reduction.merge([*before, kept[name]])


@dataclass(slots=True)
class WorkerState:
    """What belongs to one executor here, or to one worker process: models of the last run, and scorers of live ones."""

    models: Models = field(default_factory=Models)
    _laid_out: "WeakKeyDictionary[Prepared, LaidOut]" = field(default_factory=WeakKeyDictionary)
    """By the broadcast test triples: it goes when they go."""

    def remember(self, job: ScoreJob, models: Sequence[Contents]) -> None:
        """Make the models of a job ready, which are loaded already, and keep them."""
        with computing(job) as here:
            self.models.remember(job, models, here)

    def load(self, job: ScoreJob, here: ThisProcess) -> None:
        """Load the models of a job, in place of those of other runs."""
        if self.models.keep_only(job, here):
            self.forget_test()
        self.models.load(job, here)

    def engines(self, job: ScoreJob, here: ThisProcess) -> tuple[list[Engine], int]:
        """Give an engine per checkpoint of a job, and how many checkpoints had to be loaded; lets go of other runs'."""
        self.load(job, here)
        return self.models.engines(job, here)

    def forget_test(self) -> None:
        """Release the data laid out for test triples."""
        self._laid_out.clear()

    def laid_out(self, job: ScoreJob, engines: Sequence[Engine], test: Prepared | None) -> LaidOut:
        """Lay test triples out; the tasks of a run share their job and its test triples, which are laid out once."""
        models = [engine.model for engine in engines]
        if test is None:
            return LaidOut(job, models, InPieces(SelfScorer(engines), models[0].device))
        known = self._laid_out.get(test)
        if known is None or known.job is not job or not all(map(operator.is_, known.models, models)):
            known = self._laid_out[test] = LaidOut(job, models, InPieces(_scorer(job, engines, test), models[0].device))
        return known


def _scorer(job: ScoreJob, engines: Sequence[Engine], test: Prepared) -> BatchScorer:
    if job.scoring.normalize == "none":
        return _summed(engines, test.tests, test.answers)
    tests, powers = without_powers(test.tests, test.answers[0])
    return NormalisedScorer(_summed(engines, tests, test.answers), engines, test.lengths, powers)


def _summed(engines: Sequence[Engine], tests: Sequence[Factors], answers: Sequence[Answers]) -> BatchScorer:
    scorers = [make_scorer(*of_one) for of_one in zip(engines, tests, answers, strict=True)]
    return scorers[0] if len(scorers) == 1 else SummedScorer(scorers)
