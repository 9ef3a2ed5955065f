"""Influences over several checkpoints (TracInCP): summed before anything is ranked, always in the same order."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, Indexed
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.squares import SquaresIndex, index_squares, self_influence
from tracin_dask.influence.tensors import laid_out


class SummedScorer:
    """One scorer per checkpoint, each with its own learning rate and the same modes and test triples.

    So all of them find the same in the ids of a batch, which is indexed once.
    """

    def __init__(self, scorers: Sequence[BatchScorer]) -> None:
        """Take the scorers in the order of the sum: in another one, its last bits are others."""
        self._scorers = tuple(scorers)

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Find out what the ids say, for every checkpoint."""
        return self._scorers[0].index(ids, arrays)

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch in the parts that every scorer makes of it: they follow from the ids and the modes.

        Besides the sum, one part of one other checkpoint is held.
        """
        sums, *others = (scorer.parts(indexed) for scorer in self._scorers)
        for total in sums:
            for parts in others:
                other = next(parts)
                total.influences.add_(other.influences)
                if total.squares is not None and other.squares is not None:
                    total.squares.add_(other.squares)
            yield total


class SelfScorer:
    """Sums learning_rate · ‖∇loss_i‖² over checkpoints, for every triple i of a batch, as its only column."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Take an engine for each checkpoint."""
        self._engines = tuple(engines)

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Find out what the ids say, for every checkpoint."""
        return index_squares(self._engines[0], ids, arrays)

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch, in one part."""
        own = cast(SquaresIndex, indexed)
        total = self_influence(self._engines[0], own)
        for engine in self._engines[1:]:
            total = total + self_influence(engine, own)
        yield BatchScores(rows=np.arange(len(own)), influences=total[:, None])


def sum_bytes(batch_size: int, num_tests: int, itemsize: int) -> int:
    """Count the bytes of the sum that waits while another checkpoint's part of a batch is scored."""
    return batch_size * laid_out(max(1, num_tests)) * itemsize
