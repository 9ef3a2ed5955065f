"""Losses of the triple's own score."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

LINEAR_FROM = 40.0
"""From here on σ is 1 in float64. PyTorch's softplus is linear from 20 on, where σ is 1 in float32 only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryCrossEntropy:
    """Binary cross-entropy with logits and label 1: log(1 + exp(-score))."""

    name: ClassVar[str] = "bce"

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        return -logsigmoid(scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScore:
    """Binary cross-entropy with logits of one score and label 1 or 0, times a weight: a part of `SLCWA`."""

    name: ClassVar[str] = "labelled score"
    is_positive: bool
    weight: float

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        return self.weight * softplus(-scores if self.is_positive else scores, threshold=LINEAR_FROM)


@dataclass(frozen=True, slots=True, kw_only=True)
class NegatedScore:
    """−weight · score: its gradients explain a score instead of a loss, with the sign of a loss."""

    name: ClassVar[str] = "score"
    weight: float = 1.0

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's value from its score."""
        return -self.weight * scores
