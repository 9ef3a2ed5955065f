"""Compares influences of a run with plain automatic differentiation, on a worker or in the run's own process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.runs.audit.plain.gradients import PlainGradients
from tracin_dask.runs.audit.candidates import Answer, Candidate
from tracin_dask.runs.audit.choice import Chosen
from tracin_dask.runs.audit.numbers import Numbers
from tracin_dask.runs.audit.picked import Clock, Picked, pick
from tracin_dask.runs.audit.plain.model import plain_model
from tracin_dask.runs.audit.tolerance import Tolerance, tolerance_of
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.score import prepare_test
from tracin_dask.runs.work.state import WorkerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One influence, of the run and by plain automatic differentiation."""

    row: Candidate
    answer: Answer | None
    """None for self-influence."""
    of_run: float
    plain: float
    deviation: float
    """Their difference, as a part of the product of the lengths of both gradients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The outcome of an audit."""

    num_rows: int
    num_answers: int
    num_excluded: int
    """Training triples and answers near a kink, or with gradients that are too small for the precision."""
    worst: Comparison | None
    """None where nothing could be compared."""
    num_compared: int
    num_beyond: int
    """Comparisons beyond the limit."""
    limit: float
    why_not_all: str | None
    """The reason why there are fewer training triples than wanted, where there are."""
    seconds: float


def compare(
    state: WorkerState, job: ScoreJob, targets: Targets | None, chosen: Chosen, models: Sequence[Contents] = ()
) -> Compared:
    """Compute some influences once more; the `models` of the checkpoints are loaded here where none are given.

    One checkpoint after the other is in memory in float64, with a few of its gradients.
    """
    clock = Clock(chosen.seconds / len(job.checkpoints))
    state.forget_test()
    with computing(job) as here:
        engines, _ = state.engines(job, here)
        tolerance = tolerance_of(engines[0].precision, engines[0].model.dtype)
        picked = pick(_gradients(job, models, 0, tolerance), job, targets, chosen, clock)
        others = [
            picked.at(_gradients(job, models, number, tolerance), job.question)
            for number in range(1, len(job.checkpoints))
        ]
        numbers = Numbers.summed([picked.numbers, *others], job.learning_rates)
        rows, answers = numbers.row_squares >= tolerance.least_square, numbers.answer_squares >= tolerance.least_square
        places = (np.flatnonzero(known).tolist() for known in (rows, answers))
        values = _Values(numbers.divided(job.scoring.normalize), picked, *places)
        found = list(values.compared(state, job))
    num_rows = int(rows.sum()) if found else 0
    return Compared(
        num_rows=num_rows,
        num_answers=int(answers.sum()) if found and targets is not None else 0,
        num_excluded=picked.num_near + int((~rows).sum() + (~answers).sum()),
        worst=max(found, key=_deviation, default=None),
        num_compared=len(found),
        num_beyond=sum(not one.deviation <= tolerance.limit for one in found),
        limit=tolerance.limit,
        why_not_all=_why(num_rows, chosen, picked),
        seconds=clock.seconds,
    )


def _why(num_rows: int, chosen: Chosen, picked: Picked) -> str | None:
    """Give the reason why there are fewer training triples than wanted."""
    if num_rows >= chosen.num_rows:
        return None
    if not picked.had_time:
        return f"more would take longer than {chosen.seconds:.1f} s"
    return "all others that were tried are excluded"


def _gradients(job: ScoreJob, models: Sequence[Contents], number: int, tolerance: Tolerance) -> PlainGradients:
    contents = models[number] if models else job.checkpoints[number].load()
    preconditioner = None
    if job.method is not None:
        gathered = job.gathered[number] if job.gathered else {}
        preconditioner = job.method.fit(contents.state, gathered, lambda _, values: values)
    return PlainGradients(
        model=plain_model(contents.model),
        loss=job.scoring.loss,
        tracked=job.tracked,
        preconditioner=preconditioner,
        margin=tolerance.margin,
    )


@dataclass(frozen=True, slots=True)
class _Values:
    """Influences by plain automatic differentiation, and which of them count."""

    numbers: Numbers
    picked: Picked
    rows: list[int]
    columns: list[int]

    def compared(self, state: WorkerState, job: ScoreJob) -> Iterator[Comparison]:
        """Compare each with the engine's, computed in a small batch, and with the one that a list states."""
        ids = np.array([self.picked.rows[row].triple for row in self.rows], dtype=np.int64).reshape(-1, 3)
        for column in self.columns if len(self.rows) else ():
            answer = None if self.picked.answers is None else self.picked.answers[column]
            theirs = _by_engine(state, job, answer, ids)
            for row, of_engine in zip(self.rows, theirs.tolist(), strict=True):
                yield self._comparison(row, column, of_engine)
                candidate = self.picked.rows[row]
                if candidate.answer is not None and _states(candidate, answer):
                    yield self._comparison(row, column, candidate.influence)

    def _comparison(self, row: int, column: int, of_run: float) -> Comparison:
        plain = float(self.numbers.products[row, column])
        return Comparison(
            row=self.picked.rows[row],
            answer=None if self.picked.answers is None else self.picked.answers[column],
            of_run=of_run,
            plain=plain,
            deviation=abs(of_run - plain) / float(self.numbers.bounds[row, column]),
        )


def _states(row: Candidate, answer: Answer | None) -> bool:
    """Tell whether the list that a training triple is from states its influence on this answer."""
    return answer is None or (answer.is_whole and row.answer == answer.number)


def _by_engine(
    state: WorkerState, job: ScoreJob, answer: Answer | None, ids: Int[ndarray, "row 3"]
) -> Float[ndarray, " row"]:
    """Score a few training triples as a run does."""
    found = np.zeros(len(ids))
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        test = None if answer is None else prepare_test(state, job, answer.targets)
        for part in state.laid_out(job, engines, test).batches.parts(ids):
            found[part.rows] = part.influences[:, 0].double().cpu().numpy()
    return found


def _deviation(comparison: Comparison) -> float:
    """Give what comparisons are ordered by; what is no number is the worst."""
    return np.inf if np.isnan(comparison.deviation) else comparison.deviation
