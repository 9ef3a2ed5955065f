"""Index and compute at once, where a run does so ahead."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from tracin_dask.influence import normalised, squares
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, parts_of
from tracin_dask.influence.index_arrays import IndexArrays

CPU = torch.device("cpu")


def parts(scorer: BatchScorer, ids: np.ndarray) -> Iterator[BatchScores]:
    """Score a batch in parts."""
    return parts_of(scorer, ids, CPU)


def training_lengths(engines: Sequence[Engine], ids: np.ndarray) -> normalised.Lengths:
    """Compute the lengths of the gradients of training triples."""
    return normalised.training_lengths(engines, squares.index_squares(engines[0], ids, IndexArrays(CPU)))


def self_influence(engine: Engine, triples: torch.Tensor) -> torch.Tensor:
    """Compute self-influences of training triples under any loss."""
    return squares.self_influence(engine, squares.index_squares(engine, triples.numpy(), IndexArrays(CPU)))
