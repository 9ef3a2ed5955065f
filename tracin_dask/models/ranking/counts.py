"""How many entities a model scores higher than the one that a triple has, and the ranks that follow."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCounts:
    """The other candidates with a higher score, and those whose score is not lower; NaN is never lower."""

    higher: Int[Tensor, " row"]
    not_lower: Int[Tensor, " row"]

    @property
    def realistic(self) -> Float[Tensor, " row"]:
        """The mean of the best and the worst rank that ties allow."""
        return 1 + (self.higher + self.not_lower).double() / 2

    @property
    def pessimistic(self) -> Int[Tensor, " row"]:
        """The worst rank that ties allow: a model that scores all entities alike gets the last one."""
        return 1 + self.not_lower


def rank_counts(
    scores: Float[Tensor, "row entity"], own: Int[Tensor, " row"], known: Bool[Tensor, "row entity"] | None = None
) -> RankCounts:
    """Compare the scores of all entities with that of each row's own entity.

    Entities that are `known` to be right, too, are no candidates; the own one may be among them.
    """
    of_own = scores.gather(1, own[:, None])
    others = torch.ones_like(scores, dtype=torch.bool) if known is None else ~known
    others.scatter_(1, own[:, None], value=False)
    higher = (scores <= of_own).logical_not_().logical_and_(others)
    not_lower = (scores < of_own).logical_not_().logical_and_(others)
    return RankCounts(higher=higher.sum(dim=1), not_lower=not_lower.sum(dim=1))
