"""The top k of batch after batch, kept on a device: the host neither reads a value nor waits before the end.

Lists of both sides, the highest and the lowest, are found together: the lowest are the highest with the other sign.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.reductions.base import RowIds, ScoredBatch, Sizes
from tracin_dask.influence.reductions.topk import Bounds, Ranking, TopK, bounds, empty

ELEMENTS_AT_A_TIME = 1 << 26
"""Influences whose best are found at a time: some test triples of a batch, at least one."""
ELEMENT_BYTES = 36
"""Of each of them: its influence and its key, on both sides, and what is equal."""
ENTRY_BYTES = 240
"""Of each entry of a list: kept, found in a batch, and ordered with others."""
ROW_BYTES = 32
"""Of each row of a batch: its `train_index` and its triple."""
BEFORE_ALL, AFTER_ALL = -1, torch.iinfo(torch.int64).max
"""Keys that are no `train_index`."""


def index_rows(ids: RowIds, arrays: IndexArrays) -> IndexArray:
    """Put the `train_index` and the triple of each row among the index arrays: [row, 4]."""
    return arrays.put(np.column_stack([ids.train_index, ids.triples]))


class DeviceTopKStream:
    """Keeps the best k of all batches; memory is bounded by k, the test triples and a part of one batch."""

    def __init__(self, k: int, num_tests: int, seen: TopK | None = None, *, skips_zeros: bool = False) -> None:
        """Start with no rows; entries that k of those that were `seen` surpass are left out at the end."""
        self._k, self._num_tests, self._skips_zeros = k, num_tests, skips_zeros
        self._bounds = bounds(seen or empty(k), num_tests)
        self._best: _Best | None = None

    def add(self, batch: ScoredBatch) -> None:
        """Take in one batch."""
        influences = batch.influences
        rows = batch.indexed_by(index_rows).tensor
        best = self._best
        if best is None:
            signed = influences.new_empty(2, self._num_tests, 0)
            best = _Best(signed=signed, rows=rows.new_empty(*signed.shape, 4))
        step = max(1, ELEMENTS_AT_A_TIME // len(batch))
        some = [slice(at, at + step) for at in range(0, self._num_tests, step)]
        found = (
            _found(signed_influences(batch, tests, skips_zeros=self._skips_zeros), rows, self._k) for tests in some
        )
        self._best = _beside([best.of(tests).merged(one, self._k) for tests, one in zip(some, found, strict=True)])

    def finish(self) -> TopK:
        """Fetch the TopK of all batches."""
        if self._best is None:
            return empty(self._k)
        signed, rows = self._best.signed.double().cpu().numpy(), self._best.rows.cpu().numpy()
        highest, lowest = (
            ranking(signed[side], rows[side], self._bounds[side], sign=sign) for side, sign in enumerate((1, -1))
        )
        return TopK(k=self._k, highest=highest, lowest=lowest)


def signed_influences(batch: ScoredBatch, tests: slice, *, skips_zeros: bool) -> Float[Tensor, "side test row"]:
    """Give influences so that the best ones are the highest; -inf for pairs that are not ranked."""
    influences = batch.influences[:, tests].T
    signed = torch.stack([influences, -influences])
    if skips_zeros:
        signed.masked_fill_(signed == 0, -math.inf)
    if batch.is_ranked is not None:
        signed.masked_fill_(~batch.is_ranked[:, tests].T, -math.inf)
    return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """The best entries of some test triples, on both sides."""

    signed: Float[Tensor, "side test entry"]
    """-inf for pairs that are not ranked."""
    rows: Int64[Tensor, "side test entry 4"]
    """The `train_index` and the triple of each."""

    def of(self, tests: slice) -> "_Best":
        return _Best(signed=self.signed[:, tests], rows=self.rows[:, tests])

    def merged(self, other: "_Best", k: int) -> "_Best":
        """Order the entries of both from the best to the worst, ties by `train_index`, and keep k."""
        signed = torch.cat([self.signed, other.signed], dim=2)
        rows = torch.cat([self.rows, other.rows], dim=2)
        order = rows[..., 0].argsort(dim=2)
        by_index = signed.gather(2, order).add_(0.0)  # -0 becomes 0: a sort may tell them apart
        order = order.gather(2, by_index.argsort(dim=2, descending=True, stable=True)[..., :k])
        every = order[..., None].expand(-1, -1, -1, rows.shape[3])
        return _Best(signed=signed.gather(2, order), rows=rows.gather(2, every))


def _found(signed: Float[Tensor, "side test row"], rows: Int64[Tensor, "row 4"], k: int) -> _Best:
    """Find the k best rows of a batch, in any order; those of equal influence by their `train_index`."""
    place = best_places(signed, rows[:, 0], min(k, len(rows)))
    return _Best(signed=signed.gather(2, place), rows=rows[place])


def best_places(
    signed: Float[Tensor, "*list row"], train_index: Int64[Tensor, "*some_list row"], number: int
) -> Int64[Tensor, "*list best"]:
    """Find where the best rows of each list are, in any order; those of equal influence by their `train_index`.

    A key puts what is better than the worst of the best before all others, and then what equals it by `train_index`.
    """
    least = signed.topk(number).values[..., -1:]
    key = torch.where(signed == least, train_index, AFTER_ALL).masked_fill_(signed > least, BEFORE_ALL)
    return key.topk(number, largest=False, sorted=False).indices


def _beside(parts: Sequence[_Best]) -> _Best:
    """Put the test triples of all parts together."""
    signed, rows = [part.signed for part in parts], [part.rows for part in parts]
    return _Best(signed=torch.cat(signed, dim=1), rows=torch.cat(rows, dim=1))


def ranking(
    signed: Float[ndarray, "list entry"],
    rows: Int64[ndarray, "list entry 4"],
    bound: Bounds,
    *,
    sign: int,
    lists_per_test: int = 1,
) -> Ranking:
    """List the entries that are ranked and not behind the bound of their list."""
    least, last = bound.signed_influence[:, None], bound.train_index[:, None]
    is_ahead = (signed > least) | ((signed == least) & (rows[..., 0] <= last))
    which, place = (is_ahead & (signed > -math.inf)).nonzero()
    kept, influence = rows[which, place], sign * signed[which, place]
    return Ranking(test_index=which // lists_per_test, influence=influence, train_index=kept[:, 0], triples=kept[:, 1:])


def device_bytes(k: int, sizes: Sizes) -> int:
    """Bound the bytes on the device: of a batch's rows, of a part of its influences, and of all entries."""
    elements = min(sizes.batch_size * sizes.num_columns, max(ELEMENTS_AT_A_TIME, sizes.batch_size))
    entries = 2 * k * sizes.num_columns
    return ROW_BYTES * sizes.batch_size + ELEMENT_BYTES * elements + ENTRY_BYTES * entries
