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

_WIDEST_BLOCK = 1024
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

    Both are operands of the precision. On a CPU, PyTorch multiplies run by run, where it can. Else the runs are cut
    into blocks of as many rows, of which the last of a run is filled up, and all blocks are multiplied at once, or as
    many as a piece of Jacobians may be large.
    """
    if _is_grouped(left, right):
        return grouped_mm(left, right, offs=torch.from_numpy(np.cumsum(lengths, dtype=np.int32)))
    return _in_blocks(left, right, lengths, precision=precision, tiling=tiling)


def _is_grouped(left: Tensor, right: Tensor) -> bool:
    """Tell whether PyTorch multiplies run by run by itself, without copies."""
    if left.device.type != "cpu" or left.dtype != torch.float32:
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
    made = [left.new_empty(0, width, right.shape[2], dtype=_dtype(left, precision))]
    for at in range(0, len(run), step):
        some = slice(at, at + step)
        mine = left.index_select(0, rows_on_device[some].flatten()).view(-1, width, left.shape[1])
        made.append(precision.product(mine, right.index_select(0, runs_on_device[some])))
    products = torch.cat(made).flatten(end_dim=1)
    place = width * first_block[row] + np.arange(len(row)) - first_row[row]
    return products.index_select(0, send(place, device))


def _block_width(lengths: Int[ndarray, " run"]) -> int:
    """Choose a power of two, no less than the mean length: the blocks are no more than twice the runs then."""
    mean = lengths.sum() / max(1, np.count_nonzero(lengths))
    return int(min(_WIDEST_BLOCK, 2 ** np.ceil(np.log2(max(1.0, mean)))))


def _dtype(operand: Tensor, precision: Precision) -> torch.dtype:
    """Give the type of sums of products."""
    return operand.dtype if precision.rounded_dtype is None else torch.float32
