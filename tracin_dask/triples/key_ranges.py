"""Rows of a store whose keys lie in some ranges: found by halving, since the store is sorted by these keys."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.sort import KeyLayout
from tracin_dask.triples.store import CHUNK_ROWS, TripleStore

CHUNKS_AT_A_TIME = 4
"""Chunks that are read in one call where all of them are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRows:
    """Rows of the store that lie in ranges."""

    block: TripleBlock
    place: Int64[ndarray, " row"]
    """The number of each row's range."""
    rows: Int64[ndarray, " row"]
    """Where they stand in the store."""


def layout_of(store: TripleStore) -> KeyLayout:
    """Give the keys by which the rows of a store are sorted."""
    return KeyLayout(num_entities=store.info.num_entities, num_relations=store.info.num_relations)


def rows_in_ranges(store: TripleStore, first: ndarray, last: ndarray) -> Iterator[FoundRows]:
    """Find the rows whose keys lie in the ranges from `first` to `last`, both included: a chunk of rows at a time.

    Ranges ascend and do not overlap. A few take a few reads each; many take no more than a pass over the store.
    """
    layout = layout_of(store)
    waiting = [(0, len(store), 0, len(first))]
    while waiting:
        start, stop, low, high = waiting.pop()
        if low >= high:
            continue
        if stop - start <= (high - low) * CHUNK_ROWS:  # looking where to read would take as long as reading
            for at in range(start, stop, CHUNKS_AT_A_TIME * CHUNK_ROWS):
                rows = at, min(at + CHUNKS_AT_A_TIME * CHUNK_ROWS, stop)
                yield _within(store, rows, first[low:high], last[low:high], number=low)
            continue
        middle = start + max((stop - start) // (2 * CHUNK_ROWS), 1) * CHUNK_ROWS
        pivot = layout.pack(store.read(middle, middle + 1).triples)[0]
        left = low + int(np.searchsorted(first[low:high], pivot, side="right"))
        right = low + int(np.searchsorted(last[low:high], pivot, side="left"))
        waiting += [(start, middle, low, left), (middle, stop, right, high)]


def _within(store: TripleStore, at: tuple[int, int], first: ndarray, last: ndarray, *, number: int) -> FoundRows:
    """Find the rows of one chunk; its first range has the given number."""
    block = store.read(*at)
    keys = layout_of(store).pack(block.triples)
    begin, end = np.searchsorted(keys, first, side="left"), np.searchsorted(keys, last, side="right")
    place = np.repeat(np.arange(len(first)), end - begin)
    offset = np.arange(len(place)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
    row = np.repeat(begin, end - begin) + offset
    return FoundRows(block=block.where(row), place=number + place, rows=at[0] + row)
