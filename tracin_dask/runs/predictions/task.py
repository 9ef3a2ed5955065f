"""The triples whose scores and ranks a worker computes, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.report.predictions import EntityRanks


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTask:
    """Some test triples, and which of their ranks are computed."""

    triples: Int[ndarray, "test 3"]
    rank_tails: bool
    rank_heads: bool
    inverse_of: Int[ndarray, " relation"] | None
    """The inverse of each relation, whose tails the heads are ranked as; None ranks heads one by one."""

    def backwards(self) -> Int[ndarray, "test 3"]:
        """Give (tail, inverse relation, head) of each triple."""
        assert self.inverse_of is not None  # noqa: S101 - asked where relations have inverses
        head, relation, tail = self.triples.T
        return np.column_stack([tail, self.inverse_of[relation], head])

    def cut(self, size: int) -> list["RankTask"]:
        """Cut it into parts of at most so many triples."""
        starts = range(0, len(self.triples), size)
        return [replace(self, triples=self.triples[start : start + size]) for start in starts]


@dataclass(frozen=True, slots=True, kw_only=True)
class TripleScores:
    """The scores and the ranks of some test triples."""

    score: Float[ndarray, " test"]
    tail_ranks: EntityRanks | None
    head_ranks: EntityRanks | None


def join(parts: Sequence[TripleScores]) -> TripleScores:
    """Put the outcomes of parts together again."""
    return TripleScores(
        score=np.concatenate([part.score for part in parts]),
        tail_ranks=joined_ranks([part.tail_ranks for part in parts]),
        head_ranks=joined_ranks([part.head_ranks for part in parts]),
    )


def joined_ranks(parts: Sequence[EntityRanks | None]) -> EntityRanks | None:
    """Put the ranks of parts together; None where there are none."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return EntityRanks(
        filtered=np.concatenate([part.filtered for part in known]), raw=np.concatenate([part.raw for part in known])
    )
