"""The gradients of answers and of training triples by plain automatic differentiation, and their lengths."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.columns import Question, Targets
from tracin_dask.influence.losses import AnyLoss, reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.influence.normalised import Normalize
from tracin_dask.influence.preconditioners.base import TimesTensors
from tracin_dask.runs.audit.plain.kinks import KinkWatch
from tracin_dask.runs.audit.plain.model import Gradient, PlainModel, norm, plus, product, times

AT_A_TIME = 32
"""Scores that are differentiated together, of the test triples of one answer."""
Part: TypeAlias = tuple[float, Float[Tensor, " triple"]]
"""Losses of triples, and the weight of their sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainGradients:
    """Differentiates the losses of one checkpoint."""

    model: PlainModel
    loss: AnyLoss
    tracked: frozenset[str]
    preconditioner: TimesTensors | None
    """P, in the shapes of the tensors."""
    margin: float
    """How near to a kink two programs may differ."""

    def of_training(self, triple: Int[ndarray, " 3"]) -> "Differentiated | None":
        """Differentiate the loss of a training triple; None near a kink."""
        return self._sum((1.0, values) for values in self.model.losses(self.loss, triple[None]))

    def of_answer(self, question: Question, answer: Targets) -> "Differentiated | None":
        """Differentiate what a question asks of the test triples of one answer; None near a kink."""
        return self._sum(
            (weight, values)
            for weight, triples in _sides(answer, self._at_a_time)
            for values in (
                self.model.losses(self.loss, triples) if question.explain == "loss" else [-self.model.scores(triples)]
            )
        )

    @property
    def _at_a_time(self) -> int:
        """Give how many test triples are differentiated together."""
        return 1 if reads(self.loss) == ALL_SCORES else AT_A_TIME

    def _sum(self, parts: Iterable[Part]) -> "Differentiated | None":
        """Differentiate a sum part by part, each times its weight."""
        gradient: Gradient = {}
        added = 0.0
        for watched in _watched(iter(parts), self.margin):
            if watched is None:
                return None
            weight, values = watched
            part = self.model.gradient(values.sum())
            added += abs(weight) * norm(part)
            gradient = plus(gradient, weight, part)
        return self._of(gradient, added)

    def _of(self, gradient: Gradient, added: float) -> "Differentiated":
        length = norm(gradient)
        tracked = {name: one for name, one in gradient.items() if name in self.tracked}
        multiplied = tracked if self.preconditioner is None else times(tracked, self.preconditioner)
        return Differentiated(
            gradient=tracked,
            multiplied=multiplied,
            square=product(tracked, multiplied),
            length=length,
            cancelling=added / length if length > 0 else 1.0,
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
    """Over all tensors, without P."""
    cancelling: float
    """How many times as long the parts of a sum are as the sum."""
    multiplied_length: float
    is_preconditioned: bool

    def times(self, answer: "Differentiated") -> float:
        """Give ⟨g, P g'⟩."""
        return product(self.gradient, answer.multiplied)

    def bound(self, answer: "Differentiated", normalize: Normalize) -> float:
        """Bound ⟨g, P g'⟩, by Cauchy and Schwarz: its rounding errors are relative to this.

        Without P it is over all tensors. With P, errors of g are multiplied as g' is. Errors of a sum are relative to
        its parts, unless the influence is divided by the length of the sum, which such errors must not dominate.
        """
        bound = self.length * answer.length
        if self.is_preconditioned:
            bound = max(self.length * answer.multiplied_length, float(np.sqrt(self.square * answer.square)))
        if normalize == "none":
            bound *= self.cancelling
        return bound if normalize == "cosine" else bound * answer.cancelling


def _watched(parts: Iterator[Part], margin: float) -> Iterator[Part | None]:
    """Compute part after part; gives None in place of one near a kink."""
    while True:
        with KinkWatch(margin) as watch:
            part = next(parts, None)
        if part is None:
            return
        yield None if watch.is_near else part


def _sides(answer: Targets, at_a_time: int) -> Iterator[tuple[float, Int[ndarray, "_ 3"]]]:
    """Give the test triples of an answer with their weights, then the same with the other tails."""
    sides = [(1.0, answer.triples)]
    if answer.contrast_tails is not None:
        sides.append((-1.0, np.column_stack([answer.triples[:, :2], answer.contrast_tails])))
    for sign, triples in sides:
        for start in range(0, len(triples), at_a_time):
            yield sign / len(triples), triples[start : start + at_a_time]
