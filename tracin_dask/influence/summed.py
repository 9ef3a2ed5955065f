"""Influences over several checkpoints (TracInCP): summed before anything is ranked, always in the same order."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine
from tracin_dask.influence.squares import self_influence
from tracin_dask.influence.tensors import laid_out


class SummedScorer:
    """One scorer per checkpoint, each with its own learning rate and the same modes and test triples."""

    def __init__(self, scorers: Sequence[BatchScorer]) -> None:
        """Take the scorers in the order of the sum: in another one, its last bits are others."""
        self._scorers = tuple(scorers)

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch in the parts that every scorer makes of it: they follow from the ids and the modes.

        Besides the sum, one part of one other checkpoint is held.
        """
        sums, *others = (scorer.parts(ids) for scorer in self._scorers)
        for total in sums:
            for parts in others:
                other = next(parts)
                total.influences.add_(other.influences)
                if total.squares is not None and other.squares is not None:
                    total.squares.add_(other.squares)
            yield total


def self_scores(engines: Sequence[Engine], ids: Int[ndarray, "batch 3"]) -> BatchScores:
    """Sum learning_rate · ‖∇loss_i‖² over the checkpoints, for every triple i of a batch."""
    triples = torch.from_numpy(ids)
    total = self_influence(engines[0], triples)
    for engine in engines[1:]:
        total = total + self_influence(engine, triples)
    return BatchScores(rows=np.arange(len(ids)), influences=total[:, None])


def sum_bytes(batch_size: int, num_tests: int, itemsize: int) -> int:
    """Count the bytes of the sum that waits while another checkpoint's part of a batch is scored."""
    return batch_size * laid_out(max(1, num_tests)) * itemsize
