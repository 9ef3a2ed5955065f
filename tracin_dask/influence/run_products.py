"""Products of runs of rows, each with a matrix of its own: a head's, say; in a few operators for any number of runs."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import grouped_mm

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
    device, width = left.device, _block_width(lengths)
    num_blocks = -(-lengths // width)
    first_row, first_block = (np.cumsum(numbers) - numbers for numbers in (lengths, num_blocks))
    run, row = np.repeat(np.arange(len(lengths)), num_blocks), np.repeat(np.arange(len(lengths)), lengths)
    start = first_row[run] + width * (np.arange(len(run)) - first_block[run])
    rows = np.minimum(start[:, None] + np.arange(width), (first_row + lengths)[run, None] - 1)
    runs_on_device, rows_on_device = send(run, device), send(rows, device)
    step = max(1, tiling.jacobian_bytes // max(1, right[:1].numel() * right.element_size()))
    made = []
    for at in range(0, max(1, len(run)), step):
        some = slice(at, at + step)
        mine = left.index_select(0, rows_on_device[some].flatten()).view(-1, width, left.shape[1])
        made.append(precision.product(mine, right.index_select(0, runs_on_device[some])))
    products = (made[0] if len(made) == 1 else torch.cat(made)).flatten(end_dim=1)
    place = width * first_block[row] + np.arange(len(row)) - first_row[row]
    return products.index_select(0, send(place, device))


def _block_width(lengths: Int[ndarray, " run"]) -> int:
    """Choose the rows of a block so that filled-up rows and copied matrices take the least time together."""
    num_blocks = -(-lengths[:, None] // _WIDTHS)
    time = (num_blocks * (_WIDTHS + _ROWS_PER_COPY)).sum(axis=0)
    return int(_WIDTHS[np.argmin(time)])
