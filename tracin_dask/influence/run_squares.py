"""Sums of vᵀ v of the rows v of each run, in a few operators for any number of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import embedding_bag, grouped_mm

from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.run_products import Multiplied, block_width, cut_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedRows:
    """Rows v that are sums of some vectors each."""

    order: Int[ndarray, " vector"]
    """The vectors, those of a row together."""
    starts: Int[ndarray, " row"]
    """The place in that order of the first vector of each row; every row has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareBlocks:
    """Runs of rows, cut into blocks of as many rows; the last block of a run is filled up with rows of zeros."""

    width: int
    every: IndexArray
    """The blocks: [block]."""
    first: IndexArray
    """The first block of each run: [run]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaresOfRuns:
    """Some runs whose squares are made together."""

    slots: IndexArray
    """Where the sum of each run is added: [run]."""
    order: IndexArray
    """The vectors, those of a row together: [vector]."""
    starts: IndexArray
    """The first vector of each row, or of each place of a block; places that are filled up have none: [row]."""
    stops: IndexArray | None
    """The row after the last of each run, where PyTorch multiplies run by run: [run]."""
    blocks: SquareBlocks | None
    """In place of them, where runs are cut into blocks."""


def index_squares_of_runs(
    rows: SummedRows,
    lengths: Int[ndarray, " run"],
    arrays: IndexArrays,
    *,
    slots: Int[ndarray, " run"],
    of: Multiplied,
) -> tuple[SquaresOfRuns, ...]:
    """Find out how the squares of runs are made: the first `lengths[0]` rows are a run, and so on.

    As many runs are taken at a time as their sums, in float64, may be large as a piece of Jacobians.
    """
    most = max(1, of.tiling.jacobian_bytes // (8 * of.width**2))
    stops = np.cumsum(lengths)
    starts = np.append(rows.starts, len(rows.order))
    found = []
    for at in range(0, len(lengths), most):
        some = slice(at, at + most)
        first, stop = int(stops[at] - lengths[at]), int(stops[some][-1])
        mine = starts[first : stop + 1]
        piece = SummedRows(order=rows.order[mine[0] : mine[-1]], starts=mine - mine[0])
        found.append(_index_piece(piece, lengths[some], arrays, slots=slots[some], of=of, most_blocks=most))
    return tuple(found)


def _index_piece(
    rows: SummedRows,
    lengths: Int[ndarray, " run"],
    arrays: IndexArrays,
    *,
    slots: Int[ndarray, " run"],
    of: Multiplied,
    most_blocks: int,
) -> SquaresOfRuns:
    """Index some runs; `rows.starts` has the number of vectors at its end."""
    starts, stops, blocks = rows.starts[:-1], None, None
    if of.is_grouped:
        stops = arrays.put(np.cumsum(lengths))
    else:
        width = max(block_width(lengths), -(-len(starts) // most_blocks))
        cut = cut_runs(lengths, width)
        starts = rows.starts[np.minimum(cut.rows, cut.last_rows[:, None] + 1)].flatten()
        first = np.searchsorted(cut.run, np.arange(len(lengths)))
        blocks = SquareBlocks(width=width, every=arrays.put(np.arange(len(cut.run))), first=arrays.put(first))
    return SquaresOfRuns(
        slots=arrays.put(slots),
        order=arrays.put(rows.order),
        starts=arrays.put(starts),
        stops=stops,
        blocks=blocks,
    )


def add_squares_of_runs(
    sums: Float[Tensor, "slot width width"], vectors: Float[Tensor, "vector width"], pieces: Sequence[SquaresOfRuns]
) -> None:
    """Add vᵀ v of the rows v of each run to the sum in a slot of its own, in place; blocks are added up in order."""
    for piece in pieces:
        rows = embedding_bag(piece.order.tensor, vectors, piece.starts.tensor, mode="sum")
        if piece.blocks is None:
            found = _run_by_run(rows, piece)
        else:
            blocks = rows.view(-1, piece.blocks.width, rows.shape[1])
            products = torch.bmm(blocks.mT, blocks).flatten(start_dim=1)
            found = embedding_bag(piece.blocks.every.tensor, products, piece.blocks.first.tensor, mode="sum")
        sums.index_add_(0, piece.slots.tensor, found.view(-1, *sums.shape[1:]).to(sums.dtype))


def _run_by_run(rows: Float[Tensor, "row width"], piece: SquaresOfRuns) -> Float[Tensor, "run width width"]:
    assert piece.stops is not None  # noqa: S101 - one of both
    return grouped_mm(rows.T, rows, offs=piece.stops.tensor.to(torch.int32))
