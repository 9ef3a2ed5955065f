"""Squared lengths of sums of gradients, from the products of the gradients of each sum with each other."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Squares:
    """Squared lengths of sums of gradients, times the learning rate, in float64."""

    whole: Float[Tensor, " sum"]
    parts: Float[Tensor, " sum"] | None = None
    """The squared lengths of the gradients, added up for each sum; None where each is of one gradient."""

    def add_(self, other: "Squares") -> None:
        """Add those of another checkpoint, in place."""
        self.whole.add_(other.whole)
        if self.parts is not None and other.parts is not None:
            self.parts.add_(other.parts)


def squares_of_groups(
    derivatives: Float[Tensor, "sum gradient"], products: Float[Tensor, "sum gradient gradient"], learning_rate: float
) -> Squares:
    """Compute learning_rate · Σ_kl δ_k δ_l ⟨∇score_k, P ∇score_l⟩ of every sum, and the same of k = l alone.

    That is done in float64, where no square of a number of float32 is denormal.
    """
    by = derivatives.double()
    weighted = (by[:, :, None] * products).mul_(by[:, None])
    whole, parts = weighted.sum(dim=(1, 2)), weighted.diagonal(dim1=1, dim2=2).sum(dim=1)
    return Squares(whole=whole.mul_(learning_rate), parts=parts.mul_(learning_rate))
