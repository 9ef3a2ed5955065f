"""How many entities a model scores higher than the one that a triple has, and the ranks that follow."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LONG_ROW = 4096
"""PyTorch counts a long row by itself several times faster than many along an axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Candidates that are known to be right, too, each once: entities, and the rows that they belong to."""

    rows: Int[Tensor, " known"]
    entities: Int[Tensor, " known"]


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

    def without(self, known: Known, scores: Float[Tensor, "row entity"], own: Int[Tensor, " row"]) -> "RankCounts":
        """Leave known candidates out, but not the own ones, which may be among them; never waits for the device."""
        rows, of_own = known.rows, scores[known.rows, own[known.rows]]
        theirs, is_other = scores[rows, known.entities], known.entities != own[rows]
        return RankCounts(
            higher=self.higher.scatter_add(0, rows, -(is_other & ~(theirs <= of_own)).long()),
            not_lower=self.not_lower.scatter_add(0, rows, -(is_other & ~(theirs < of_own)).long()),
        )


def rank_counts(scores: Float[Tensor, "row entity"], own: Int[Tensor, " row"]) -> RankCounts:
    """Compare the scores of all entities with that of each row's own entity."""
    of_own = scores.gather(1, own[:, None])
    others = scores.shape[1] - 1
    not_higher = _count(scores <= of_own) - (~of_own.isnan())[:, 0].long()
    return RankCounts(higher=others - not_higher, not_lower=others - _count(scores < of_own))


def _count(found: Bool[Tensor, "row entity"]) -> Int[Tensor, " row"]:
    if found.is_cuda or found.shape[1] < LONG_ROW:
        return found.sum(dim=1)
    return torch.stack([row.count_nonzero() for row in found])
