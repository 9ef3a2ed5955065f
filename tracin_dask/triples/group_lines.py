"""Merges the sorted lines of a file of groups with the rows of a store, to find the line of each row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer
from numpy import ndarray

from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.sort import KeyLayout
from tracin_dask.triples.store import SHARD_ROWS, TripleStore

OnUnknown = Callable[[TripleBlock], None]
"""Called with lines whose triples are not in the store."""


@dataclass(slots=True)
class Fault:
    """The number of triples without a clear group, and the first of them."""

    count: int = 0
    line: int = -1
    triple: tuple[int, ...] = ()

    def add(self, found: TripleBlock) -> None:
        """Add triples to the count."""
        if not len(found):
            return
        first = int(found.train_index.argmin())
        if self.count == 0 or found.train_index[first] < self.line:
            self.line, self.triple = int(found.train_index[first]), tuple(found.triples[first].tolist())
        self.count += len(found)


class LineFinder:
    """Merges a store with the sorted lines of a file, in the memory of a few shards.

    A triple that stands several times in the training set takes its lines in their order, if there are as many; or all
    of its rows have the one group that all its lines name.
    """

    def __init__(
        self,
        store: TripleStore,
        lines: Iterator[TripleBlock],
        group_of_line: Integer[ndarray, " line"],
        on_unknown: OnUnknown,
    ) -> None:
        """Store the lines, as blocks in the order of the store, and the group of every line of the file."""
        self._store, self._lines, self._group_of_line, self._on_unknown = store, lines, group_of_line, on_unknown
        self._layout = KeyLayout(num_entities=store.info.num_entities, num_relations=store.info.num_relations)
        self._ahead = concatenate([])
        self.missing = Fault()
        """Rows of the store whose triples have no line; the line is their train_index."""
        self.ambiguous = Fault()
        """Triples whose lines name different groups and whose number of lines differs from that of their rows."""

    def lines(self) -> Iterator[Int64[ndarray, " row"]]:
        """Yield the line of every row of the store, from 0; `missing` and `ambiguous` count rows without a line."""
        for rows in self._whole_triples():
            keys = self._layout.pack(rows.triples)
            first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
            yield self._settle(rows, first, keys=keys[first], lines=self._take(keys[first]))
        for block in (self._ahead, *self._lines):
            self._on_unknown(block)

    def _whole_triples(self) -> Iterator[TripleBlock]:
        """Read the store in blocks that end where a triple ends."""
        start, size = 0, SHARD_ROWS
        while start < len(self._store):
            stop = min(start + size, len(self._store))
            block = self._store.read(start, stop)
            if stop < len(self._store):
                is_last = (block.triples == block.triples[-1]).all(axis=1)
                block = block[: len(block) - int(is_last.sum())]
            size = SHARD_ROWS if len(block) else 2 * size
            start += len(block)
            if len(block):
                yield block

    def _take(self, known: ndarray) -> TripleBlock:
        """Take the lines up to the last of some ascending keys, without those of other triples."""
        taken = []
        while True:
            keys = self._layout.pack(self._ahead.triples)
            end = int(np.searchsorted(keys, known[-1], side="right"))
            found, keys = self._ahead[:end], keys[:end]
            is_known = known[np.searchsorted(known, keys)] == keys
            self._on_unknown(found.where(~is_known))
            taken.append(found.where(is_known))
            self._ahead = self._ahead[end:]
            if len(self._ahead):
                break
            block = next(self._lines, None)
            if block is None:
                break
            self._ahead = block
        return concatenate(taken)

    def _settle(
        self, rows: TripleBlock, first: Int64[ndarray, " triple"], *, keys: ndarray, lines: TripleBlock
    ) -> Int64[ndarray, " row"]:
        """Choose the line of each row of complete triples, given by first row and key."""
        num_rows = np.diff(first, append=len(rows))
        of_row = np.repeat(np.arange(len(first)), num_rows)
        line_keys = self._layout.pack(lines.triples)
        begin, end = (np.searchsorted(line_keys, keys, side=side) for side in ("left", "right"))
        is_missing = begin == end
        groups = self._group_of_line[lines.train_index]
        changes = np.concatenate([[0, 0], np.cumsum(groups[1:] != groups[:-1])])
        differ = changes[end] != changes[np.minimum(begin + 1, end)]
        is_ambiguous = differ & (end - begin != num_rows)
        self.missing.add(rows.where(is_missing[of_row]))
        self.ambiguous.add(lines.where(begin[is_ambiguous]))
        take_in_order = differ & ~is_ambiguous
        rank = np.where(take_in_order[of_row], np.arange(len(rows)) - first[of_row], 0)
        return np.where(is_missing[of_row], -1, np.append(lines.train_index, -1)[begin[of_row] + rank])
