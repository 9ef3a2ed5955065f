"""The gradients of answers and of training triples by plain automatic differentiation, and their lengths."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.columns import Question, Targets
from tracin_dask.influence.losses import AnyLoss, num_parts, reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner
from tracin_dask.runs.audit.plain.kinks import KinkWatch
from tracin_dask.runs.audit.plain.model import Gradient, PlainModel, norm, plus, product, times

SCORES_AT_A_TIME = 32
"""Scores that are differentiated together, of the test triples of one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainGradients:
    """Differentiates the losses of one checkpoint."""

    model: PlainModel
    loss: AnyLoss
    tracked: frozenset[str]
    preconditioner: DiagonalPreconditioner | None
    """P, in the shapes of the tensors."""
    margin: float
    """How near to a kink two programs may differ."""

    def of_training(self, triple: Int[ndarray, " 3"]) -> "Differentiated | None":
        """Differentiate the loss of a training triple; None near a kink."""
        with KinkWatch(self.margin) as watch:
            value = self.model.losses(self.loss, triple[None]).sum()
        if watch.is_near:
            return None
        gradient = self.model.gradient(value)
        return self._of(gradient, norm(gradient))

    def of_answer(self, question: Question, answer: Targets) -> "Differentiated | None":
        """Differentiate what a question asks of the test triples of one answer; None near a kink."""
        total: Gradient = {}
        length = 0.0
        for weight, triples in _sides(answer, self._at_a_time):
            with KinkWatch(self.margin) as watch:
                is_loss = question.explain == "loss"
                values = self.model.losses(self.loss, triples) if is_loss else -self.model.scores(triples)
            if watch.is_near:
                return None
            part = self.model.gradient(values.sum())
            length += abs(weight) * norm(part)
            total = plus(total, weight, part)
        return self._of(total, length)

    @property
    def _at_a_time(self) -> int:
        """Give how many test triples are differentiated together."""
        return 1 if reads(self.loss) == ALL_SCORES else max(1, SCORES_AT_A_TIME // num_parts(self.loss))

    def _of(self, gradient: Gradient, length: float) -> "Differentiated":
        tracked = {name: one for name, one in gradient.items() if name in self.tracked}
        multiplied = tracked if self.preconditioner is None else times(tracked, self.preconditioner)
        return Differentiated(
            gradient=tracked,
            multiplied=multiplied,
            square=product(tracked, multiplied),
            length=length,
            multiplied_length=norm(multiplied),
            is_preconditioned=self.preconditioner is not None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Differentiated:
    """The gradient g of an answer, or of a training triple."""

    gradient: Gradient
    """Of the tracked tensors."""
    multiplied: Gradient
    """P g."""
    square: float
    """⟨g, P g⟩."""
    length: float
    """The length over all tensors; of what is added up for an answer, the sum of the lengths."""
    multiplied_length: float
    is_preconditioned: bool

    def times(self, answer: "Differentiated") -> float:
        """Give ⟨g, P g'⟩."""
        return product(self.gradient, answer.multiplied)

    def bound(self, answer: "Differentiated") -> float:
        """Give what errors of ⟨g, P g'⟩ are relative to: by Cauchy and Schwarz, it is no larger."""
        if not self.is_preconditioned:
            return self.length * answer.length
        return max(self.length * answer.multiplied_length, float(np.sqrt(self.square * answer.square)))


def _sides(answer: Targets, at_a_time: int) -> Iterator[tuple[float, Int[ndarray, "_ 3"]]]:
    """Give the test triples of an answer with their weights, then the same with the other tails."""
    sides = [(1.0, answer.triples)]
    if answer.contrast_tails is not None:
        sides.append((-1.0, np.column_stack([answer.triples[:, :2], answer.contrast_tails])))
    for sign, triples in sides:
        for start in range(0, len(triples), at_a_time):
            yield sign / len(triples), triples[start : start + at_a_time]
