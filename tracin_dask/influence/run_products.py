"""Products of runs of rows, with a matrix of each run or with themselves, in a few operators for any number of runs."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import embedding_bag, grouped_mm

from tracin_dask.influence.batch import send
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tiling import Tiling
from tracin_dask.turn import matmul_at

_WIDTHS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024])
"""Rows of a block."""
_ROWS_PER_COPY = 64
"""A GPU copies a matrix in the time in which it multiplies about so many rows with it."""
_ALIGNED = 16
"""PyTorch groups products whose rows start at multiples of so many bytes."""


def products_by_run(
    left: Float[Tensor, "row inner"],
    right: Float[Tensor, "run inner column"],
    lengths: Int[ndarray, " run"],
    *,
    precision: Precision,
    tiling: Tiling,
) -> Float[Tensor, "row column"]:
    """Multiply each row with the matrix of its run: the first `lengths[0]` rows with the first matrix, and so on.

    Both are operands of the precision. On a CPU, PyTorch multiplies float32 run by run. Else the runs are cut
    into blocks of as many rows, of which the last of a run is filled up, and all blocks are multiplied at once, or as
    many as a piece of Jacobians may be large.
    """
    if tiling.groups_float32 and _is_grouped(left, right):
        with matmul_at("highest"):  # oneDNN prepares each new shape, which takes longer than a short run
            return grouped_mm(left, right, offs=torch.from_numpy(np.cumsum(lengths, dtype=np.int32)))
    return _in_blocks(left, right, lengths, precision=precision, tiling=tiling)


def _is_grouped(left: Tensor, right: Tensor) -> bool:
    """Tell whether PyTorch takes these rows and matrices."""
    if left.dtype != torch.float32:
        return False
    return left.stride(0) * 4 % _ALIGNED == 0 and max(right.stride()[1:]) * 4 % _ALIGNED == 0


def _in_blocks(
    left: Float[Tensor, "row inner"],
    right: Float[Tensor, "run inner column"],
    lengths: Int[ndarray, " run"],
    *,
    precision: Precision,
    tiling: Tiling,
) -> Float[Tensor, "row column"]:
    """Multiply in blocks of rows, and with copies of the matrices of runs that have several."""
    device, blocks = left.device, _blocks(lengths, _block_width(lengths))
    rows = np.minimum(blocks.rows, blocks.last_rows[:, None])
    runs_on_device, rows_on_device = send(blocks.run, device), send(rows, device)
    step = max(1, tiling.jacobian_bytes // max(1, right[:1].numel() * right.element_size()))
    made = []
    for at in range(0, max(1, len(rows)), step):
        some = slice(at, at + step)
        mine = left.index_select(0, rows_on_device[some].flatten()).view(-1, rows.shape[1], left.shape[1])
        made.append(precision.product(mine, right.index_select(0, runs_on_device[some])))
    products = (made[0] if len(made) == 1 else torch.cat(made)).flatten(end_dim=1)
    return products.index_select(0, send(blocks.place_of_row, device))


def add_squares_by_run(
    sums: Float[Tensor, "slot width width"],
    slots: Int[ndarray, " run"],
    rows: Float[Tensor, "row width"],
    lengths: Int[ndarray, " run"],
    *,
    tiling: Tiling,
) -> None:
    """Add vᵀ v of the rows v of each run to the sum in a slot of its own, in place; as many as a piece may be large.

    As `products_by_run`, but that what blocks are filled up with is 0. The blocks of a run are added up in order.
    """
    step = max(1, tiling.jacobian_bytes // (sums[:1].numel() * sums.element_size()))
    stops = np.cumsum(lengths)
    for at in range(0, len(lengths), step):
        some = slice(at, at + step)
        first, stop = int(stops[at] - lengths[at]), int(stops[some][-1])
        found = _squares_by_run(rows[first:stop], lengths[some], step, tiling)
        sums.index_add_(0, send(slots[some], sums.device), found.to(sums.dtype))


def _squares_by_run(
    rows: Float[Tensor, "row width"], lengths: Int[ndarray, " run"], most_blocks: int, tiling: Tiling
) -> Float[Tensor, "run width width"]:
    """Multiply the rows of each run with themselves."""
    width, device = rows.shape[1], rows.device
    if tiling.groups_float32 and _is_grouped(rows, rows[None]):
        return grouped_mm(rows.T, rows, offs=torch.from_numpy(np.cumsum(lengths, dtype=np.int32)))
    blocks = _blocks(lengths, max(_block_width(lengths), -(-len(rows) // most_blocks)))
    is_filled = blocks.rows <= blocks.last_rows[:, None]
    padded = torch.cat([rows, rows.new_zeros(1, width)])
    mine = padded.index_select(0, send(np.where(is_filled, blocks.rows, len(rows)).flatten(), device))
    mine = mine.view(*blocks.rows.shape, width)
    products = torch.bmm(mine.mT, mine).flatten(start_dim=1)
    every, starts = np.arange(len(products)), np.searchsorted(blocks.run, np.arange(len(lengths)))
    found = embedding_bag(send(every, device), products, send(starts, device), mode="sum")
    return found.view(-1, width, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """Runs of rows, cut into blocks of as many rows; the last block of a run goes beyond it."""

    run: Int[ndarray, " block"]
    rows: Int[ndarray, "block width"]
    last_rows: Int[ndarray, " block"]
    """The last row of each block's run."""
    place_of_row: Int[ndarray, " row"]
    """Where each row stands in the flattened blocks."""


def _blocks(lengths: Int[ndarray, " run"], width: int) -> _Blocks:
    """Cut runs into blocks."""
    num_blocks = -(-lengths // width)
    first_row, first_block = (np.cumsum(numbers) - numbers for numbers in (lengths, num_blocks))
    run, row = np.repeat(np.arange(len(lengths)), num_blocks), np.repeat(np.arange(len(lengths)), lengths)
    start = first_row[run] + width * (np.arange(len(run)) - first_block[run])
    return _Blocks(
        run=run,
        rows=start[:, None] + np.arange(width),
        last_rows=(first_row + lengths)[run] - 1,
        place_of_row=width * first_block[row] + np.arange(len(row)) - first_row[row],
    )


def _block_width(lengths: Int[ndarray, " run"]) -> int:
    """Choose the rows of a block so that filled-up rows and copied matrices take the least time together."""
    num_blocks = -(-lengths[:, None] // _WIDTHS)
    time = (num_blocks * (_WIDTHS + _ROWS_PER_COPY)).sum(axis=0)
    return int(_WIDTHS[np.argmin(time)])
