"""The loss of 1-N training, of the scores of all entities as the tail."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.identity import changes
from tracin_dask.influence.losses.base import ALL_SCORES, Reads
from tracin_dask.influence.losses.cross_entropy import binary_cross_entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class OneToAll:
    """Binary cross-entropy with logits of the scores of all K entities as tails, averaged: 1-N training.

    The triple's own tail has the label 1 − ε + ε/K, every other entity ε/K: with the label smoothing ε, and one
    positive per triple (other true tails of the same head and relation count as negatives).
    """

    name: ClassVar[str] = "one-to-all"
    reads: ClassVar[Reads] = ALL_SCORES
    label_smoothing: float = field(default=0.0, metadata=changes("scores"))

    def __post_init__(self) -> None:
        """Refuse a smoothing that leaves no positive.

        Raises
        ------
        ConfigError
            If it is not from 0 to below 1.
        """
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing must be at least 0 and below 1, not {self.label_smoothing}")

    @property
    def settings(self) -> dict[str, float]:
        """What the result states of the loss."""
        return {"label_smoothing": self.label_smoothing}

    def value(self, scores: Float[Tensor, "batch entity"], tails: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from the scores of all entities as its tail."""
        num_entities = scores.shape[1]
        labels = torch.full_like(scores, self.label_smoothing / num_entities)
        labels.scatter_(1, tails[:, None], 1 - self.label_smoothing + self.label_smoothing / num_entities)
        return binary_cross_entropy(scores, labels).mean(dim=1)

    def derivative_elsewhere(self, scores: Float[Tensor, "*scores"], num_entities: int) -> Float[Tensor, "*scores"]:
        """Differentiate by scores of other entities than the tail, in place: (σ(s) − ε/K) / K."""
        return scores.sigmoid_().sub_(self.label_smoothing / num_entities).div_(num_entities)

    def derivative_at_tail(self, scores: Float[Tensor, "*scores"], num_entities: int) -> Float[Tensor, "*scores"]:
        """Differentiate by scores of the tail, in place: (ε − ε/K − σ(−s)) / K; σ(s) − 1 would lose its digits."""
        smoothed = self.label_smoothing - self.label_smoothing / num_entities
        return scores.neg_().sigmoid_().sub_(smoothed).div_(-num_entities)

    def lower_at_tail(self, num_entities: int) -> float:
        """Give by how much the derivative is lower at the tail than it would be elsewhere: (1 − ε) / K."""
        return (1 - self.label_smoothing) / num_entities
