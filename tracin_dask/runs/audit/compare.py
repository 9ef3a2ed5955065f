"""Compares influences of a run with plain automatic differentiation, on a worker or in the run's own process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.preconditioners.base import TimesTensors
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.runs.audit.candidates import Answer, Candidate
from tracin_dask.runs.audit.choice import Chosen
from tracin_dask.runs.audit.numbers import Numbers
from tracin_dask.runs.audit.picked import Clock, Picked, pick
from tracin_dask.runs.audit.plain.gradients import PlainGradients
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

    num_rows: int = 0
    num_answers: int = 0
    num_checkpoints: int = 0
    """Over which the influences that are compared are summed: all of the run, or one."""
    num_excluded: int = 0
    """Training triples and answers near a kink, or with gradients that are too small for the precision."""
    worst: Comparison | None = None
    """None where nothing could be compared."""
    num_compared: int = 0
    num_beyond: int = 0
    """Comparisons beyond the limit."""
    limit: float
    precision: str | None = None
    """The type of the numbers that it computed with."""
    why_not_all: str | None
    """The reason why there are fewer training triples than wanted, where there are."""
    seconds: float


class UnknownTensorsError(Exception):
    """A preconditioner that the audit does not know how to multiply with."""


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
        first, *others = (_Checkpoint(job, models, number, tolerance.margin) for number in range(len(job.checkpoints)))
        try:
            picked = pick(first.gradients(), job, targets, chosen, clock)
        except UnknownTensorsError as error:
            return Compared(limit=tolerance.limit, why_not_all=str(error), seconds=clock.seconds)
        numbers = [picked.numbers, *(picked.at(other.gradients(), job) for other in others)]
        summed, known = _summed(job, numbers, tolerance)
        if not known.any() and others:  # of many checkpoints, most triples are near a kink at one
            job, numbers, picked = _alone(job), numbers[:1], picked.unlisted()
            summed, known = _summed(job, numbers, tolerance)
        found = list(_comparisons(state, job, picked, summed, known))
    rows, answers = known.any(axis=1), known.any(axis=0)
    return Compared(
        num_rows=int(rows.sum()),
        num_answers=0 if targets is None else int(answers.sum()),
        num_checkpoints=len(numbers),
        num_excluded=picked.num_near + int((~rows).sum() + (~answers).sum() * rows.any()),
        worst=max(found, key=_deviation, default=None),
        num_compared=len(found),
        num_beyond=sum(not one.deviation <= tolerance.limit for one in found),
        limit=tolerance.limit,
        precision=picked.precision,
        why_not_all=_why(int(rows.sum()), chosen, picked),
        seconds=clock.seconds,
    )


def _summed(
    job: ScoreJob, numbers: Sequence[Numbers], tolerance: Tolerance
) -> tuple[Numbers, Bool[ndarray, "row answer"]]:
    """Sum over the checkpoints of a job, and tell which sums can be compared."""
    summed, normalize = Numbers.summed(numbers, job.learning_rates), job.scoring.normalize
    return summed.divided(normalize), summed.known(normalize, tolerance.least_square)


def _alone(job: ScoreJob) -> ScoreJob:
    """Take the first checkpoint of a job alone."""
    return replace(
        job, checkpoints=job.checkpoints[:1], learning_rates=job.learning_rates[:1], gathered=job.gathered[:1]
    )


def _why(num_rows: int, chosen: Chosen, picked: Picked) -> str | None:
    """Give the reason why there are fewer training triples than wanted."""
    if num_rows >= chosen.num_rows:
        return None
    if not picked.had_time:
        return f"more would take longer than {chosen.seconds:.1f} s"
    return "none of the others that were tried can be compared"


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """A checkpoint of a job, which is loaded when it is needed."""

    job: ScoreJob
    models: Sequence[Contents]
    number: int
    margin: float

    def gradients(self) -> PlainGradients:
        """Load it, and copy it in float64.

        Raises
        ------
        UnknownTensorsError
            If P is a preconditioner of one's own that does not multiply whole tensors.
        """
        job, contents = self.job, self.models[self.number] if self.models else self.job.checkpoints[self.number].load()
        if job.landmarks is not None:
            raise UnknownTensorsError(f"it would take the gradients of {len(job.landmarks.triples):,} landmarks")
        preconditioner: TimesTensors | None = None
        if job.method is not None:
            gathered = job.gathered[self.number] if job.gathered else {}
            fitted = job.method.fit(contents.state, gathered, lambda _, values: values)
            if not isinstance(fitted, TimesTensors):
                raise UnknownTensorsError(
                    "the preconditioner does not say how it multiplies whole tensors (times_tensor)"
                )
            preconditioner = fitted
        return PlainGradients(
            model=plain_model(contents.model, job.scoring.loss),
            loss=job.scoring.loss,
            tracked=job.tracked,
            preconditioner=preconditioner,
            margin=self.margin,
        )


def _comparisons(
    state: WorkerState, job: ScoreJob, picked: Picked, plain: Numbers, known: Bool[ndarray, "row answer"]
) -> Iterator[Comparison]:
    """Compare each influence with the engine's, computed in a small batch, and with the one that a list states.

    What the engine leaves out, as a quotient of rounding errors, is no longer `known`.
    """
    for column, answer in enumerate([None] if picked.answers is None else picked.answers):
        rows = np.flatnonzero(known[:, column])
        if len(rows) == 0:
            continue
        theirs, is_left_out = _by_engine(state, job, answer, [picked.rows[row] for row in rows])
        known[rows[is_left_out], column] = False
        for row, of_engine in zip(rows[~is_left_out].tolist(), theirs[~is_left_out].tolist(), strict=True):
            candidate = picked.rows[row]
            value, bound = float(plain.products[row, column]), float(plain.bounds[row, column])
            for of_run in (of_engine, *_stated(candidate, answer)):
                deviation = abs(of_run - value) / bound
                yield Comparison(row=candidate, answer=answer, of_run=of_run, plain=value, deviation=deviation)


def _stated(row: Candidate, answer: Answer | None) -> tuple[float, ...]:
    """Give the influence on an answer that its list states, where the training triple is from this list."""
    is_from_list = row.answer is not None and (answer is None or (answer.is_whole and row.answer == answer.number))
    return (row.influence,) if is_from_list else ()


def _by_engine(
    state: WorkerState, job: ScoreJob, answer: Answer | None, rows: Sequence[Candidate]
) -> tuple[Float[ndarray, " row"], Bool[ndarray, " row"]]:
    """Score a few training triples as a run does, and tell which the engine leaves out and counts."""
    found, is_left_out = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        test = None if answer is None else prepare_test(state, job, answer.targets)
        for part in state.laid_out(job, engines, test).batches.parts(np.stack([row.triple for row in rows])):
            influences = part.influences[:, 0].double().cpu().numpy()
            found[part.rows] = influences
            if part.num_cancelled is not None and part.num_cancelled > 0:
                is_left_out[part.rows] = influences == 0
    return found, is_left_out


def _deviation(comparison: Comparison) -> float:
    """Give what comparisons are ordered by; what is no number is the worst."""
    return np.inf if np.isnan(comparison.deviation) else comparison.deviation
