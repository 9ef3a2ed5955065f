"""The loss of one triple, as a function of its score or of all entities' scores: each defined once.

A loss of your own that looks at the triple's score only is any object with a `name` and a `value`:

>>> import torch
>>> class Margin:
...     name = "margin"
...     def value(self, scores):
...         return torch.relu(1.0 - scores)
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus

from tracin_dask.errors import ConfigError


@runtime_checkable
class Loss(Protocol):
    """A loss that looks at the triple's own score only.

    `value` maps scores (logits) [batch] to losses [batch], each from its own score, with operations that autograd
    knows. Objects travel to the workers, so their class must be importable there or picklable by value.
    """

    @property
    def name(self) -> str:
        """The name that the result states."""
        ...

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        ...


class BinaryCrossEntropy:
    """Binary cross-entropy with logits and label 1: log(1 + exp(-score))."""

    name = "bce"

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        return -logsigmoid(scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneToAll:
    """Binary cross-entropy with logits of the scores of all K entities as tails, averaged: what ConvE is trained with.

    The triple's own tail has the label 1 − ε + ε/K, every other entity ε/K: with the label smoothing ε, and one
    positive per triple (other true tails of the same head and relation count as negatives).
    """

    name: ClassVar[str] = "one-to-all"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a smoothing that leaves no positive.

        Raises
        ------
        ConfigError
            If it is not from 0 to below 1.
        """
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing must be at least 0 and below 1, not {self.label_smoothing}")

    def value(self, scores: Float[Tensor, "batch entity"], tails: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from the scores of all entities as its tail."""
        num_entities = scores.shape[1]
        labels = torch.full_like(scores, self.label_smoothing / num_entities)
        labels.scatter_(1, tails[:, None], 1 - self.label_smoothing + self.label_smoothing / num_entities)
        return binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(dim=1)

    def derivative_elsewhere(self, scores: Float[Tensor, "*scores"], num_entities: int) -> Float[Tensor, "*scores"]:
        """Differentiate by scores of other entities than the tail, in place: (σ(s) − ε/K) / K."""
        return scores.sigmoid_().sub_(self.label_smoothing / num_entities).div_(num_entities)

    def lower_at_tail(self, num_entities: int) -> float:
        """Give by how much the derivative is lower at the tail than it would be elsewhere: (1 − ε) / K."""
        return (1 - self.label_smoothing) / num_entities


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScore:
    """Binary cross-entropy with logits of one score and label 1 or 0, times a weight: a part of `SLCWA`."""

    name: ClassVar[str] = "labelled score"
    is_positive: bool
    weight: float

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        return self.weight * softplus(-scores if self.is_positive else scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class SLCWA:
    """Binary cross-entropy with logits of the triple (label 1) and of n corrupted triples (label 0), averaged.

    Negative sampling under the stochastic local closed-world assumption, as in PyKEEN. In each corrupted triple the
    head or the tail is replaced by another entity, both drawn uniformly by a hash of the seed and the triple: every
    worker and every repeat draws the same, and equal triples are corrupted equally.
    """

    name: ClassVar[str] = "slcwa"
    num_negatives: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse to corrupt nothing.

        Raises
        ------
        ConfigError
            If there are no negatives, or the seed is negative.
        """
        if self.num_negatives < 1:
            raise ConfigError(f"num_negatives must be at least 1, not {self.num_negatives}")
        if self.seed < 0:
            raise ConfigError(f"the seed of the negatives must be at least 0, not {self.seed}")

    def value(self, scores: Float[Tensor, "batch one_and_negatives"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score, in the first column, and those of its corrupted triples."""
        labels = torch.zeros_like(scores)
        labels[:, 0] = 1
        return binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(dim=1)

    def part(self, *, is_positive: bool) -> LabelledScore:
        """Give the share of one of these scores in the loss."""
        return LabelledScore(is_positive=is_positive, weight=1 / (1 + self.num_negatives))

    def corrupted(self, triples: Int[ndarray, "batch 3"], num_entities: int) -> Int[ndarray, "negative batch 3"]:
        """Draw the corrupted triples.

        Raises
        ------
        ConfigError
            If there is no other entity to put in.
        """
        if num_entities < 2:
            raise ConfigError("slcwa needs at least two entities: a corrupted triple has another one in a place")
        drawn = _hashed(self.seed, triples, self.num_negatives)
        column = np.where(drawn & np.uint64(1), 2, 0)
        found = np.repeat(triples[None], self.num_negatives, axis=0)
        replaced = np.take_along_axis(found, column[:, :, None], axis=2)[:, :, 0]
        other = ((drawn >> np.uint64(1)) % np.uint64(num_entities - 1)).astype(found.dtype)
        np.put_along_axis(found, column[:, :, None], (other + (other >= replaced))[:, :, None], axis=2)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NegatedScore:
    """−weight · score: its gradients explain a score instead of a loss, with the sign of a loss."""

    name: ClassVar[str] = "score"
    weight: float = 1.0

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's value from its score."""
        return -self.weight * scores


AnyLoss: TypeAlias = Loss | OneToAll | SLCWA


def derivative(loss: Loss, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Differentiate each triple's loss by its score (δ; for `bce` it is σ(score) − 1)."""
    with torch.enable_grad():
        variable = scores.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss.value(variable).sum(), variable)
    return gradient


def _hashed(seed: int, triples: Int[ndarray, "batch 3"], count: int) -> ndarray:
    """Draw 64 bits for each number below `count` and each triple, by the mixing function of splitmix64 [1]_.

    .. [1] Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    state = np.full((count, len(triples)), seed, dtype=np.uint64)
    for values in (*triples.T.astype(np.uint64), np.arange(count, dtype=np.uint64)[:, None]):
        state = (state ^ values) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
