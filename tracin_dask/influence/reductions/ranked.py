"""The part of a batch that masks leave to be ranked."""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.influence.index_arrays import Flags, IndexArray, IndexArrays
from tracin_dask.influence.reductions.base import ScoredBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedRows:
    """Which of some rows are ranked, among the index arrays of their batch."""

    chosen: Int[ndarray, " ranked"]
    """The ranked rows, ascending."""
    place: IndexArray | None
    """The same on the device; None where they are all rows."""
    pairs: Flags | None
    """Which columns each of them is ranked for: [ranked, column]; None for all."""

    def part(self, batch: ScoredBatch) -> ScoredBatch | None:
        """Leave the rows that are ranked, and say which pairs of these are; None if there is no such row."""
        if len(self.chosen) == 0:
            return None
        if self.place is None and self.pairs is None:
            return batch
        influences = batch.influences if self.place is None else batch.influences[self.place.tensor]
        lowest, highest, is_ranked = influences, influences, None if self.pairs is None else self.pairs.tensor
        if is_ranked is not None:
            lowest, highest = (influences.masked_fill(~is_ranked, sign * math.inf) for sign in (1, -1))
        return ScoredBatch(
            influences=influences,
            lowest=lowest.amin(dim=0),
            highest=highest.amax(dim=0),
            triples=batch.triples[self.chosen],
            train_index=batch.train_index[self.chosen],
            rows=batch.rows[self.chosen],
            is_ranked=is_ranked,
        )


def index_ranked(
    rows: Bool[ndarray, " row"], pairs: Bool[ndarray, "row column"] | None, arrays: IndexArrays
) -> RankedRows:
    """List the rows that are ranked, in any thread."""
    chosen = np.flatnonzero(rows)
    left = None if pairs is None else pairs[chosen]
    return RankedRows(
        chosen=chosen,
        place=None if len(chosen) == len(rows) else arrays.put(chosen),
        pairs=None if left is None or left.all() else arrays.put_flags(left),
    )


def ranked_part(
    batch: ScoredBatch, rows: Bool[ndarray, " row"], pairs: Bool[ndarray, "row column"] | None
) -> ScoredBatch | None:
    """Find the part of a batch that is ranked, and take it at once."""
    return index_ranked(rows, pairs, IndexArrays(batch.influences.device)).part(batch)


def without_zeros(batch: ScoredBatch) -> ScoredBatch:
    """Leave the pairs whose influence is 0 out of those that are ranked."""
    is_ranked = batch.influences != 0
    if batch.is_ranked is not None:
        is_ranked &= batch.is_ranked
    lowest, highest = (batch.influences.masked_fill(~is_ranked, sign * math.inf) for sign in (1, -1))
    return replace(batch, lowest=lowest.amin(dim=0), highest=highest.amax(dim=0), is_ranked=is_ranked)
