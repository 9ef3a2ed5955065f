"""Sort any number of triples by (head, relation, tail) in bounded memory, ties by train_index.

While all rows fit the budget they are sorted at once. Beyond it they are sorted in runs on disk, and ranges of the
common order of all runs are read one after the other; that needs no knowledge of how skewed the heads are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from tracin_dask.places.registry import place_of
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.runs import SAMPLE_ROWS, KeyedRows, Run, SortedRuns, sort_rows, write_run

SORT_BYTES_PER_ROW = 48
"""Key and train_index (16), both once more while joined or reordered (16), the order itself (8), and slack."""

_UNPACK_ROWS = 1 << 20
_SAMPLES_OF_MEMORY = 64
"""The samples of rows that fill a small memory are at least so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedTriples:
    """The number of triples, and the sorted blocks, which can be iterated once."""

    num_triples: int
    blocks: Iterator[TripleBlock]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLayout:
    """Packs a triple into one key that sorts as (head, relation, tail): an integer if it fits, else 24 bytes."""

    num_entities: int
    num_relations: int

    @property
    def entity_bits(self) -> int:
        """Bits of the largest entity id."""
        return (self.num_entities - 1).bit_length()

    @property
    def relation_bits(self) -> int:
        """Bits of the largest relation id."""
        return (self.num_relations - 1).bit_length()

    @property
    def fits_integer(self) -> bool:
        """Whether one signed integer of 64 bits holds a triple."""
        return 2 * self.entity_bits + self.relation_bits <= 63

    def pack(self, triples: Int64[np.ndarray, "row 3"]) -> np.ndarray:
        """Make one key per row."""
        if not self.fits_integer:  # big-endian bytes of numbers ≥ 0 compare as the numbers do
            return np.ascontiguousarray(triples, dtype=">i8").view("S24").ravel()
        head, relation, tail = triples.T
        keys: np.ndarray = ((head << self.relation_bits | relation) << self.entity_bits) | tail
        return keys

    def unpack(self, keys: np.ndarray) -> Int64[np.ndarray, "row 3"]:
        """Unpack the keys into triples."""
        if not self.fits_integer:
            return keys.view(">i8").reshape(-1, 3).astype(np.int64)
        pair = keys >> self.entity_bits
        tail, relation = keys & ((1 << self.entity_bits) - 1), pair & ((1 << self.relation_bits) - 1)
        return np.stack([pair >> self.relation_bits, relation, tail], axis=1)


def sort_triples(
    blocks: Iterable[TripleBlock], layout: KeyLayout, *, memory_bytes: int, scratch: Path
) -> SortedTriples:
    """Sort all rows; `train_index` must ascend from block to block.

    Parameters
    ----------
    memory_bytes
        What the sort may hold at a time; a single block from `blocks` is held in any case.
    scratch
        A directory for runs that do not fit; it must stay until the sorted blocks are taken.
    """
    runs: list[Run] = []
    max_rows = memory_bytes // SORT_BYTES_PER_ROW
    sample_rows = max(1, min(SAMPLE_ROWS, max_rows // _SAMPLES_OF_MEMORY))
    for rows, is_last in sorted_parts(blocks, layout, max_rows):
        if is_last and not runs:
            return SortedTriples(num_triples=len(rows), blocks=_unpack(iter([rows]), layout))
        runs.append(write_run(place_of(scratch / f"{len(runs)}.rows"), rows, sample_rows))
    if not runs:
        return SortedTriples(num_triples=0, blocks=iter([]))
    joined = SortedRuns.of(runs, sample_rows)
    return SortedTriples(num_triples=len(joined), blocks=_unpack(_merged(joined, max_rows), layout))


def sorted_parts(blocks: Iterable[TripleBlock], layout: KeyLayout, max_rows: int) -> Iterator[tuple[KeyedRows, bool]]:
    """Sort so many rows at a time, or a single block, and tell with each part whether it is the last one."""
    pending: list[KeyedRows] = []
    for block in filter(len, blocks):
        if pending and sum(map(len, pending)) + len(block) > max_rows:
            yield sort_rows(pending), False
        pending.append(KeyedRows(keys=layout.pack(block.triples), train_index=block.train_index))
    if pending:
        yield sort_rows(pending), True


def _merged(runs: SortedRuns, max_rows: int) -> Iterator[KeyedRows]:
    """Read the rows of runs in order, no more at a time than fit."""
    step = max(1, max_rows - runs.further_rows)
    for start in range(0, len(runs), step):
        yield runs.read(start, min(start + step, len(runs)))


def _unpack(merged: Iterator[KeyedRows], layout: KeyLayout) -> Iterator[TripleBlock]:
    for rows in merged:
        for start in range(0, len(rows), _UNPACK_ROWS):
            piece = rows[start : start + _UNPACK_ROWS]
            yield TripleBlock(triples=layout.unpack(piece.keys), train_index=np.asarray(piece.train_index))
