"""Products of runs of rows with a matrix of each run, in a few operators for any number of runs."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import grouped_mm

from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tiling import Tiling
from tracin_dask.turn import matmul_at

_WIDTHS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024])
"""Rows of a block."""
_ROWS_PER_COPY = 64
"""A GPU copies a matrix in the time in which it multiplies about so many rows with it."""
_ALIGNED = 16
"""PyTorch groups products whose rows start at multiples of so many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBlocks:
    """Runs of rows, cut into blocks of as many rows: the last one of a run is filled up with its last row."""

    run: IndexArray
    """The run of each block: [block]."""
    rows: IndexArray
    """The rows of each block: [block, width]."""
    place: IndexArray
    """Where each row lies among those of all blocks: [row]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIndex:
    """Runs of rows whose products are made together: one of both is there."""

    stops: IndexArray | None = None
    """The row after the last of each run, where PyTorch multiplies run by run: [run]."""
    blocks: RunBlocks | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiplied:
    """What must be known of rows to choose how they are multiplied with the matrices of their runs."""

    dtype: torch.dtype
    """Of the working precision."""
    width: int
    """Numbers of a row: rows, and the columns of matrices, lie one after the other."""
    tiling: Tiling

    @property
    def is_grouped(self) -> bool:
        """Whether PyTorch multiplies the runs by itself."""
        return self.tiling.groups_float32 and self.dtype == torch.float32 and self.width * 4 % _ALIGNED == 0


def index_runs(lengths: Int[ndarray, " run"], of: Multiplied, arrays: IndexArrays) -> RunIndex:
    """Find out how runs of neighbouring rows are multiplied: the first `lengths[0]` rows are a run, and so on.

    On a CPU, PyTorch multiplies float32 run by run. Else the runs are cut into blocks.
    """
    if of.is_grouped:
        return RunIndex(stops=arrays.put(np.cumsum(lengths)))
    blocks = cut_runs(lengths, block_width(lengths))
    rows = np.minimum(blocks.rows, blocks.last_rows[:, None])
    return RunIndex(
        blocks=RunBlocks(run=arrays.put(blocks.run), rows=arrays.put(rows), place=arrays.put(blocks.place_of_row))
    )


def products_by_run(
    left: Float[Tensor, "row inner"],
    right: Float[Tensor, "run inner column"],
    index: RunIndex,
    *,
    precision: Precision,
    tiling: Tiling,
) -> Float[Tensor, "row column"]:
    """Multiply each row with the matrix of its run; both are operands of the precision.

    All blocks are multiplied at once, or as many as a piece of Jacobians may be large.
    """
    if index.blocks is not None:
        return _in_blocks(left, right, index.blocks, precision=precision, tiling=tiling)
    assert index.stops is not None  # noqa: S101 - one of both
    with matmul_at("highest"):  # oneDNN prepares each new shape, which takes longer than a short run
        return grouped_mm(left, right, offs=index.stops.tensor.to(torch.int32))


def _in_blocks(
    left: Float[Tensor, "row inner"],
    right: Float[Tensor, "run inner column"],
    index: RunBlocks,
    *,
    precision: Precision,
    tiling: Tiling,
) -> Float[Tensor, "row column"]:
    """Multiply in blocks of rows, and with copies of the matrices of runs that have several."""
    of_block, of_row, place_of_row = index.run.tensor, index.rows.tensor, index.place.tensor
    first_rows, width = index.rows.host[:, 0], index.rows.host.shape[1]
    pieces = _pieces(first_rows, len(left), _blocks_at_a_time(left, right, (len(first_rows), width), tiling))
    total: Tensor | None = None
    for some, mine in pieces:
        filled = left.index_select(0, of_row[some].flatten()).view(-1, width, left.shape[1])
        made = precision.product(filled, right.index_select(0, of_block[some])).flatten(end_dim=1)
        place = place_of_row[mine] - width * some.start if some.start else place_of_row[mine]
        found = made.index_select(0, place)
        if len(pieces) == 1:
            return found
        total = made.new_empty(len(left), made.shape[1]) if total is None else total
        total[mine] = found
        del filled, made, found  # before the next ones are made
    assert total is not None  # noqa: S101 - there are several pieces
    return total


def _blocks_at_a_time(left: Tensor, right: Tensor, blocks: tuple[int, int], tiling: Tiling) -> int:
    """Choose of so many blocks of so many rows those whose matrices, rows and products are held at a time.

    These are all of them if they take no more than a piece of Jacobians, else the ones that take half of it: the
    products of all rows are held, too.
    """
    (num_blocks, width), (_, inner, columns) = blocks, right.shape
    one = (max(inner * columns, width * columns) + width * (inner + columns)) * left.element_size()
    if num_blocks * one <= tiling.jacobian_bytes:
        return max(1, num_blocks)
    return max(1, tiling.jacobian_bytes // 2 // one)


def _pieces(start: Int[ndarray, " block"], num_rows: int, step: int) -> list[tuple[slice, slice]]:
    """Cut blocks, of which each starts at a row, into pieces of so many, with the rows of each; at least one piece."""
    firsts = range(0, max(1, len(start)), step)
    stops = [*(int(start[first]) for first in firsts[1:]), num_rows]
    begins = [0, *stops[:-1]]
    return [(slice(at, at + step), slice(*rows)) for at, *rows in zip(firsts, begins, stops, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRuns:
    """Runs of rows, cut into blocks of as many rows; the last block of a run goes beyond it."""

    run: Int[ndarray, " block"]
    rows: Int[ndarray, "block width"]
    last_rows: Int[ndarray, " block"]
    """The last row of each block's run."""
    place_of_row: Int[ndarray, " row"]
    """Where each row stands in the flattened blocks."""


def cut_runs(lengths: Int[ndarray, " run"], width: int) -> CutRuns:
    """Cut runs into blocks."""
    num_blocks = -(-lengths // width)
    first_row, first_block = (np.cumsum(numbers) - numbers for numbers in (lengths, num_blocks))
    run, row = np.repeat(np.arange(len(lengths)), num_blocks), np.repeat(np.arange(len(lengths)), lengths)
    start = first_row[run] + width * (np.arange(len(run)) - first_block[run])
    return CutRuns(
        run=run,
        rows=start[:, None] + np.arange(width),
        last_rows=(first_row + lengths)[run] - 1,
        place_of_row=width * first_block[row] + np.arange(len(row)) - first_row[row],
    )


def block_width(lengths: Int[ndarray, " run"]) -> int:
    """Choose the rows of a block so that filled-up rows and copied matrices take the least time together."""
    num_blocks = -(-lengths[:, None] // _WIDTHS)
    time = (num_blocks * (_WIDTHS + _ROWS_PER_COPY)).sum(axis=0)
    return int(_WIDTHS[np.argmin(time)])
