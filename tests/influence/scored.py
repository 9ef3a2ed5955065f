"""Batches of made-up influences, as reductions take them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from tracin_dask.influence.reductions.base import Stream, scored_batch


def add(
    stream: Stream,
    influences: torch.Tensor,
    *,
    train_index: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    numbers: Sequence[np.ndarray] = (),
) -> None:
    """Give a stream some rows, as batches do: of no rows there is none."""
    if len(influences) == 0:
        return
    index = np.arange(len(influences)) if train_index is None else train_index
    triples = np.stack([index, index + 100, index + 200], axis=1)
    batch = scored_batch(
        influences, triples=triples, train_index=index, rows=np.arange(len(influences)) if rows is None else rows
    )
    stream.add(replace(batch, numbers=tuple(numbers)))
