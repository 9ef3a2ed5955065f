"""Sort any number of triples by (head, relation, tail) in bounded memory, ties by train_index.

While all rows fit the budget they are sorted at once. Beyond it they are sorted in runs on disk, and the runs are
merged; that needs no knowledge of how skewed the heads are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from tracin_dask.triples.block import TripleBlock

SORT_BYTES_PER_ROW = 48
"""Key and train_index (16), both once more while joined or reordered (16), the order itself (8), and slack."""

_UNPACK_ROWS = 1 << 20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Keys in ascending order with their train_index; equal keys are in the order of the file."""

    keys: np.ndarray
    train_index: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: slice) -> "_Run":
        return _Run(keys=self.keys[rows], train_index=self.train_index[rows])


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
    runs: list[_Run] = []
    pending: list[_Run] = []
    max_rows = memory_bytes // SORT_BYTES_PER_ROW
    num_triples = 0
    for block in filter(len, blocks):
        if pending and sum(map(len, pending)) + len(block) > max_rows:
            runs.append(_spill(_sort(pending), scratch / str(len(runs))))
        pending.append(_Run(keys=layout.pack(block.triples), train_index=block.train_index))
        num_triples += len(block)
    if not runs:
        merged = iter([_sort(pending)] if pending else [])
    else:
        runs.append(_spill(_sort(pending), scratch / str(len(runs))))
        merged = _merge(runs, max_rows=max_rows)
    return SortedTriples(num_triples=num_triples, blocks=_unpack(merged, layout))


def _sort(pending: list[_Run]) -> _Run:
    """Join runs and sort them stably; empty the list, so that memory does not hold both parts and result."""
    keys = np.concatenate([run.keys for run in pending])
    train_index = np.concatenate([run.train_index for run in pending])
    pending.clear()
    order = np.argsort(keys, kind="stable")
    return _Run(keys=keys[order], train_index=train_index[order])


def _spill(run: _Run, path: Path) -> _Run:
    return _Run(
        keys=_to_disk(run.keys, path.with_suffix(".keys")),
        train_index=_to_disk(run.train_index, path.with_suffix(".train_index")),
    )


def _to_disk(values: np.ndarray, path: Path) -> np.ndarray:
    with path.open("wb") as file:
        file.write(values.view(np.uint8).data)  # ndarray.tofile does not say that a disk is full
    return np.memmap(path, dtype=values.dtype, mode="r")


def _merge(runs: list[_Run], *, max_rows: int) -> Iterator[_Run]:
    """Merge sorted runs, which are in file order, with one window of each in memory."""
    window_rows = max(1, max_rows // len(runs))
    while runs:
        windows = [run[:window_rows] for run in runs]
        taken = _safe_rows(windows, [len(run) > window_rows for run in runs])
        yield _sort([window[:rows] for window, rows in zip(windows, taken, strict=True)])
        rests = [run[rows:] for run, rows in zip(runs, taken, strict=True)]
        runs = [rest for rest in rests if len(rest)]


def _safe_rows(windows: list[_Run], has_more: list[bool]) -> list[int]:
    """Count the rows of each window that no row outside the windows can precede.

    The first of the smallest last keys among the runs that go on is the bound: runs before it may give rows up to and
    including the bound, runs behind it only smaller ones, because equal keys keep the order of the file.
    """
    open_runs = [run for run, more in enumerate(has_more) if more]
    if not open_runs:
        return [len(window) for window in windows]
    limit = min(open_runs, key=lambda run: windows[run].keys[-1])
    bound = windows[limit].keys[-1:]
    return [
        int(np.searchsorted(window.keys, bound, side="right" if run <= limit else "left")[0])
        for run, window in enumerate(windows)
    ]


def _unpack(runs: Iterator[_Run], layout: KeyLayout) -> Iterator[TripleBlock]:
    for run in runs:
        for start in range(0, len(run), _UNPACK_ROWS):
            piece = run[start : start + _UNPACK_ROWS]
            yield TripleBlock(triples=layout.unpack(piece.keys), train_index=np.asarray(piece.train_index))
