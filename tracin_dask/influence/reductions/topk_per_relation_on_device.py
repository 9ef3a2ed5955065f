"""The best k of each relation, kept on a device: the host neither reads a value nor waits before the end.

The rows of a relation stand in blocks of equal length, so that no operator is called for a relation. The best k of each
block are ordered with the best k of each relation so far. The host knows how many entries every relation has then, and
so where each relation's best k are.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.base import RowIds, ScoredBatch, Sizes
from tracin_dask.influence.reductions.topk import TopK, bounds
from tracin_dask.influence.reductions.topk_on_device import best_places, ranking, signed_influences

PIECE_BYTES = 2**31
"""What is made at a time of some test triples, at least of one."""
ROW_BYTES, PLACE_BYTES, ENTRY_BYTES = 32, 36, 190
"""Of a test triple: of each row, each place in a block, and each entry that is ordered, on both sides."""
KEPT_BYTES = 160
"""Of each entry of the lists of a test triple, on both sides, before and after a batch."""
BLOCK_BYTES = 40
"""Of each row, place and entry, for all test triples."""
_WIDTHS = 2 ** np.arange(11)
"""Rows of a block."""
_PLACES_PER_ENTRY = 4
"""An entry takes as much to be ordered as so many places of blocks take to be looked through."""


class DeviceRelationTopKStream:
    """Keeps the best k of all batches; memory is bounded by k, the relations, the test triples and one batch."""

    def __init__(self, seen: TopK, num_tests: int, *, skips_zeros: bool) -> None:
        """Start with no rows; entries that k of their list that were `seen` surpass are left out at the end."""
        self._k, self._num_relations, self._num_tests = seen.k, seen.num_relations, num_tests
        self._skips_zeros, self._bounds = skips_zeros, bounds(seen, num_tests)
        self._best: _Entries | None = None

    def add(self, batch: ScoredBatch) -> None:
        """Take in one batch."""
        indexed = batch.indexed_by(partial(index_blocks, num_relations=self._num_relations, k=self._k))
        blocks, on_device = indexed.blocks, indexed.on_device()
        best = self._best or self._nothing(batch.influences)
        step = blocks.tests_at_a_time
        some = [slice(at, at + step) for at in range(0, self._num_tests, step)]
        found = [
            best.of(tests).merged(
                _in_blocks(signed_influences(batch, tests, skips_zeros=self._skips_zeros), on_device, blocks.number),
                on_device,
            )
            for tests in some
        ]
        self._best = _Entries(
            signed=torch.cat([one.signed for one in found], dim=1), rows=torch.cat([one.rows for one in found], dim=1)
        )

    def finish(self) -> TopK:
        """Fetch the TopK of all batches."""
        if self._best is None:
            return topk.empty(self._k, self._num_relations)
        signed, rows = (values.cpu().numpy() for values in (self._best.signed.double(), self._best.rows))
        highest, lowest = (
            ranking(
                signed[side].reshape(-1, self._k),
                rows[side].reshape(-1, self._k, 4),
                self._bounds[side],
                sign=sign,
                lists_per_test=self._num_relations,
            )
            for side, sign in enumerate((1, -1))
        )
        return TopK(k=self._k, highest=highest, lowest=lowest, num_relations=self._num_relations)

    def _nothing(self, like: Tensor) -> "_Entries":
        shape = (2, self._num_tests, self._num_relations * self._k)
        return _Entries(
            signed=like.new_full(shape, -math.inf), rows=torch.zeros(*shape, 4, dtype=torch.int64, device=like.device)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """How a batch is cut into blocks of rows of one relation, and where its best entries stand in order."""

    place: Int[ndarray, "block width"]
    """The row of each place; where a block is filled up, the number of all rows."""
    number: int
    """How many of each block are among the best of its relation at most."""
    list_of_entry: Int[ndarray, " entry"]
    """The relation of each entry: k kept ones of every relation, and then those of all blocks."""
    kept: Int[ndarray, " kept"]
    """The first k entries of each relation, where relations stand one after the other."""
    num_rows: int

    @property
    def tests_at_a_time(self) -> int:
        """How many test triples' entries are found at a time."""
        return max(1, PIECE_BYTES // bytes_per_test(self.num_rows, self.place.size, len(self.list_of_entry)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedBlocks:
    """The blocks of a batch, with their index arrays."""

    blocks: Blocks
    rows: IndexArray
    """The `train_index` and the triple of each row; any at last: [row_and_one, 4]."""
    place: IndexArray
    list_of_entry: IndexArray
    kept: IndexArray

    def on_device(self) -> "_OnDevice":
        """Give the arrays on the device."""
        return _OnDevice(
            rows=self.rows.tensor,
            place=self.place.tensor,
            list_of_entry=self.list_of_entry.tensor,
            kept=self.kept.tensor,
        )


def index_blocks(ids: RowIds, arrays: IndexArrays, *, num_relations: int, k: int) -> IndexedBlocks:
    """Cut a batch into blocks, in any thread."""
    blocks = blocks_of(ids.triples[:, 1], num_relations, k)
    rows = np.column_stack([ids.train_index, ids.triples])
    return IndexedBlocks(
        blocks=blocks,
        rows=arrays.put(np.concatenate([rows, rows[:1]])),
        place=arrays.put(blocks.place),
        list_of_entry=arrays.put(blocks.list_of_entry),
        kept=arrays.put(blocks.kept),
    )


def blocks_of(relations: Int[ndarray, " row"], num_relations: int, k: int) -> Blocks:
    """Cut a batch so that places and entries take the least together."""
    lengths = np.bincount(relations, minlength=num_relations)
    work = [(-(-lengths // width)).sum() * _work(width, k) for width in _WIDTHS.tolist()]
    width = int(_WIDTHS[np.argmin(work)])
    num_blocks, order = -(-lengths // width), np.argsort(relations, kind="stable")
    first_row, first_block = (np.cumsum(numbers) - numbers for numbers in (lengths, num_blocks))
    relation = np.repeat(np.arange(num_relations), num_blocks)
    start = first_row[relation] + width * (np.arange(len(relation)) - first_block[relation])
    row = start[:, None] + np.arange(width)
    is_row = row < (first_row + lengths)[relation, None]
    number = min(k, width)
    first = np.cumsum(k + number * num_blocks) - (k + number * num_blocks)
    return Blocks(
        place=np.where(is_row, order[np.minimum(row, len(order) - 1)], len(order)),
        number=number,
        list_of_entry=np.concatenate([np.repeat(np.arange(num_relations), k), np.repeat(relation, number)]),
        kept=(first[:, None] + np.arange(k)).flatten(),
        num_rows=len(relations),
    )


def bytes_per_test(num_rows: int, num_places: int, num_entries: int) -> int:
    """Bound the bytes that finding the best entries of one test triple takes: first in blocks, then in their order."""
    return ROW_BYTES * num_rows + max(PLACE_BYTES * num_places, ENTRY_BYTES * num_entries)


def device_bytes(k: int, num_relations: int, sizes: Sizes) -> int:
    """Bound the bytes on the device: of a batch's rows, of a piece of its test triples, and of all entries.

    What is chosen takes no more than blocks of any other width would.
    """
    num_rows, num_kept = sizes.batch_size, num_relations * k
    numbers = [min(num_rows, num_rows // width + num_relations) for width in _WIDTHS.tolist()]
    work = min(number * _work(width, k) for number, width in zip(numbers, _WIDTHS.tolist(), strict=True))
    one_test = bytes_per_test(num_rows, work, num_kept + work // _PLACES_PER_ENTRY)
    piece = max(one_test, min(PIECE_BYTES, one_test * sizes.num_columns))
    return piece + BLOCK_BYTES * (num_rows + work + num_kept) + KEPT_BYTES * num_kept * sizes.num_columns


def _work(width: int, k: int) -> int:
    """Count what a block takes, in places."""
    return width + _PLACES_PER_ENTRY * min(k, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnDevice:
    """The rows of a batch and its blocks."""

    rows: Int64[Tensor, "row_and_one 4"]
    """The `train_index` and the triple of each; any at last."""
    place: Int64[Tensor, "block width"]
    list_of_entry: Int64[Tensor, " entry"]
    kept: Int64[Tensor, " kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entries:
    """Entries of the lists of some test triples, on both sides."""

    signed: Float[Tensor, "side test entry"]
    """-inf for what is no entry."""
    rows: Int64[Tensor, "side test entry 4"]

    def of(self, tests: slice) -> "_Entries":
        return _Entries(signed=self.signed[:, tests], rows=self.rows[:, tests])

    def merged(self, other: "_Entries", batch: _OnDevice) -> "_Entries":
        """Order the entries of both by relation, from the best to the worst, ties by `train_index`, and keep k each."""
        signed = torch.cat([self.signed, other.signed], dim=2)
        rows = torch.cat([self.rows, other.rows], dim=2)
        order = rows[..., 0].argsort(dim=2)
        by_index = signed.gather(2, order).add_(0.0)  # -0 becomes 0: a sort may tell them apart
        order = order.gather(2, by_index.argsort(dim=2, descending=True, stable=True))
        order = order.gather(2, batch.list_of_entry[order].argsort(dim=2, stable=True).index_select(2, batch.kept))
        every = order[..., None].expand(-1, -1, -1, rows.shape[3])
        return _Entries(signed=signed.gather(2, order), rows=rows.gather(2, every))


def _in_blocks(signed: Float[Tensor, "side test row"], batch: _OnDevice, number: int) -> _Entries:
    """Find the best rows of every block, in any order; those of equal influence by their `train_index`."""
    padded = torch.nn.functional.pad(signed, (0, 1), value=-math.inf)
    blocks = padded.index_select(2, batch.place.flatten()).view(*padded.shape[:2], *batch.place.shape)
    in_block = best_places(blocks, batch.rows[:, 0][batch.place], number)
    row = batch.place.expand(*blocks.shape).gather(3, in_block)
    return _Entries(signed=blocks.gather(3, in_block).flatten(start_dim=2), rows=batch.rows[row.flatten(start_dim=2)])
