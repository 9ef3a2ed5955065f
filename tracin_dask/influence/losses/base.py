"""What a loss must offer, by the scores that it reads; and its derivative.

Examples
--------
A loss of your own that reads the triple's own score is any object with a `name` and a `value`:

>>> import torch
>>> class Margin:
...     name = "margin"
...     def value(self, scores):
...         return torch.relu(1.0 - scores)

One that reads the scores of all entities as the tail says so, and takes the tails, too:

>>> class SoftMax:
...     name = "softmax"
...     reads = "all scores"
...     def value(self, scores, tails):
...         return torch.nn.functional.cross_entropy(scores, tails, reduction="none")
"""

from dataclasses import dataclass
from typing import Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

Reads = Literal["own score", "all scores", "corrupted triples"]
"""Which scores a loss reads: the triple's own; those of all entities as its tail; or its own and corrupted triples'."""
OWN_SCORE: Reads = "own score"
ALL_SCORES: Reads = "all scores"
CORRUPTED_TRIPLES: Reads = "corrupted triples"
SEPARABLE = ("derivative_elsewhere", "derivative_at_tail", "lower_at_tail")
"""The methods of a `SeparableLoss`."""


@runtime_checkable
class AnyLoss(Protocol):
    """A loss of any kind. Objects travel to the workers: their class must be importable there, or picklable by value.

    `reads` says which scores the loss reads; without it, the triple's own. `settings`, where there are any, is a
    mapping of JSON values that the result states.
    """

    @property
    def name(self) -> str:
        """The name that the result states."""
        ...


@runtime_checkable
class Loss(AnyLoss, Protocol):
    """A loss of the triple's own score.

    `value` maps scores (logits) [batch] to losses [batch], each from its own score, with operations that autograd
    knows.
    """

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        ...


@runtime_checkable
class AllScoresLoss(AnyLoss, Protocol):
    """A loss of the scores of all entities as the tail of the triple's head and relation."""

    @property
    def reads(self) -> Reads:
        """The constant `all scores`."""
        ...

    def value(self, scores: Float[Tensor, "batch entity"], tails: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from the scores of all entities as its tail."""
        ...


@runtime_checkable
class SeparableLoss(AllScoresLoss, Protocol):
    """A loss of all scores whose derivative by a score depends on that score alone, and at the tail is lower by c.

    Engines make its gradients in tiles of entities, once for all triples of one head and relation.
    """

    def derivative_elsewhere(self, scores: Float[Tensor, "*scores"], num_entities: int) -> Float[Tensor, "*scores"]:
        """Differentiate by scores of other entities than the tail; may work in place."""
        ...

    def derivative_at_tail(self, scores: Float[Tensor, "*scores"], num_entities: int) -> Float[Tensor, "*scores"]:
        """Differentiate by scores of the tail, with all digits where these are small; may work in place."""
        ...

    def lower_at_tail(self, num_entities: int) -> float:
        """Give c, by which the derivative at the tail is lower than it would be elsewhere."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPart:
    """What the score of one triple of each batch row adds to the row's loss."""

    triples: Int[ndarray, "batch 3"]
    loss: Loss


@runtime_checkable
class CorruptingLoss(AnyLoss, Protocol):
    """A loss that is a sum of losses of single scores: of the triple, and of triples that are made from it."""

    num_negatives: int
    """How many triples are made from each."""

    @property
    def reads(self) -> Reads:
        """The constant `corrupted triples`."""
        ...

    def parts(self, triples: Int[ndarray, "batch 3"], num_entities: int) -> tuple[LossPart, ...]:
        """Give the part of the triples themselves, then one part for each of the triples that are made from them."""
        ...


def reads(loss: AnyLoss) -> Reads:
    """Say which scores a loss reads."""
    found: Reads = getattr(loss, "reads", OWN_SCORE)
    return found


def num_parts(loss: AnyLoss) -> int:
    """Count the single scores that a loss sums over; 1 unless it corrupts triples."""
    return 1 + cast(CorruptingLoss, loss).num_negatives if reads(loss) == CORRUPTED_TRIPLES else 1


def is_separable(loss: AnyLoss) -> bool:
    """Tell whether a loss of all scores is a `SeparableLoss`."""
    return all(hasattr(loss, name) for name in SEPARABLE)


def derivative(loss: AnyLoss, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Differentiate each triple's loss, one of its own score, by that score (δ; for `bce` it is σ(score) − 1)."""
    with torch.enable_grad():
        variable = scores.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(cast(Loss, loss).value(variable).sum(), variable)
    return gradient


def derivative_at_all(
    loss: AnyLoss, scores: Float[Tensor, "batch entity"], tails: Int[Tensor, " batch"]
) -> Float[Tensor, "batch entity"]:
    """Differentiate each triple's loss of all scores by these."""
    with torch.enable_grad():
        variable = scores.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(cast(AllScoresLoss, loss).value(variable, tails).sum(), variable)
    return gradient
