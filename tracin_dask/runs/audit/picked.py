"""What an audit compares: answers and training triples that lie near no kink, as many as there is time for."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from tracin_dask.influence.columns import Targets
from tracin_dask.runs.audit.candidates import Answer, Candidate, candidates, members, whole_answers
from tracin_dask.runs.audit.choice import Chosen
from tracin_dask.runs.audit.limits import MOST_ANSWERS
from tracin_dask.runs.audit.numbers import Numbers, RowNumbers
from tracin_dask.runs.audit.plain.gradients import Differentiated, PlainGradients
from tracin_dask.runs.work.job import ScoreJob

Tried = TypeVar("Tried")
Found = TypeVar("Found")


class Clock:
    """Tells whether another step, as long as the last one, still fits into the time."""

    def __init__(self, seconds: float) -> None:
        """Start now."""
        self._started = self._last = time.perf_counter()
        self._seconds = seconds
        self.has_time = True

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return time.perf_counter() - self._started

    def begin(self) -> None:
        """Begin the first step: what was made ready before is not done again in the next one."""
        self._last = time.perf_counter()

    def step(self) -> None:
        """End a step."""
        now = time.perf_counter()
        self.has_time = now + (now - self._last) - self._started <= self._seconds
        self._last = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """What is compared, with its numbers at the first checkpoint."""

    answers: list[Answer] | None
    """None for self-influence."""
    rows: list[Candidate]
    numbers: Numbers
    precision: str
    """The type of its numbers."""
    had_time: bool
    """Whether time was left for all that was wanted."""
    num_near: int
    """Answers and training triples that were passed over, since they lie near a kink."""

    def at(self, gradients: PlainGradients, job: ScoreJob) -> Numbers:
        """Give the numbers at another checkpoint; where these triples are near a kink there, they are NaN."""
        against = None
        if self.answers is not None:
            against = [gradients.of_answer(job.question, answer.targets) for answer in self.answers]
        own = (gradients.of_training(row.triple) for row in self.rows)
        return Numbers.of([RowNumbers.of(one, against, job.scoring.normalize) for one in own], against)

    def unlisted(self) -> "Picked":
        """Leave out what lists state: they are of all checkpoints."""
        return replace(self, rows=[replace(row, answer=None) for row in self.rows])


def pick(gradients: PlainGradients, job: ScoreJob, targets: Targets | None, chosen: Chosen, clock: Clock) -> Picked:
    """Try what was chosen; there is always time for one answer and one training triple."""
    answers: list[Answer] | None = None
    against: list[Differentiated] | None = None
    num_near = 0
    clock.begin()

    def differentiate(answer: Answer) -> Differentiated | None:
        return gradients.of_answer(job.question, answer.targets)

    if targets is not None:
        answers, against = [], []
        for to_try in (whole_answers(targets, chosen), members(targets, chosen)):
            if not answers:
                answers, against, more = _first(to_try, differentiate, (MOST_ANSWERS, clock))
                num_near += more

    def numbers(row: Candidate) -> RowNumbers | None:
        own = gradients.of_training(row.triple)
        return None if own is None else RowNumbers.of(own, against, job.scoring.normalize)

    rows_to_try = candidates(job.store, answers, chosen) if answers != [] else iter(())
    rows, found, more = _first(rows_to_try, numbers, (chosen.num_rows, clock))
    return Picked(
        answers=answers,
        rows=rows,
        numbers=Numbers.of(found, against),
        precision=str(gradients.model.dtype).removeprefix("torch."),
        had_time=clock.has_time,
        num_near=num_near + more,
    )


def _first(
    tries: Iterable[Tried], differentiate: Callable[[Tried], Found | None], until: tuple[int, Clock]
) -> tuple[list[Tried], list[Found], int]:
    """Give the first of them that lie near no kink, with what was found of each, and count the others."""
    number, clock = until
    picked: list[Tried] = []
    found: list[Found] = []
    num_near = 0
    for one in tries:
        result = differentiate(one)
        clock.step()
        if result is None:
            num_near += 1
            continue
        picked.append(one)
        found.append(result)
        if len(found) == number or not clock.has_time:
            break
    return picked, found, num_near
