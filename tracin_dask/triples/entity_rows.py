"""The index entity → rows of a store: where the training triples of an entity stand, as their head and as their tail.

Rows are sorted by head, so the rows of a head are neighbours. The rows of a tail are listed, tail by tail.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import zarr
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import StoreError
from tracin_dask.places.place import Place, StoreExistsError
from tracin_dask.places.registry import place_of
from tracin_dask.triples.arrays import Arrays, damage_explained, find_array, open_group
from tracin_dask.triples.digests import (
    DIGEST_ROWS,
    chunk_range,
    first_other,
    is_as_written,
    num_chunks,
    numbers_sha256,
    row_digests,
    with_digest,
)
from tracin_dask.triples.store import MISSING_ID, SHARD_ROWS, TripleStore
from tracin_dask.triples.tally import count_ids
from tracin_dask.triples.write import WHOLE, create_array

FOLDER = "entity_rows"
"""The folder of the index in the store."""
FORMAT = {"format": "tracin-dask entity rows", "format_version": 1}
AGAIN = f"delete its folder {FOLDER}: the next run that needs it makes it again"
BYTES_PER_ROW = 32
"""Of a row while tails are sorted: its key, once more in order, and slack."""
DEFAULT_MEMORY_BYTES = 2**30
HEAD_START, TAIL_START, TAIL_ROWS, DIGESTS = "head_start", "tail_start", "tail_rows", "row_digest"
Counts: TypeAlias = tuple[Int64[ndarray, " entity"], Int64[ndarray, " entity"]]
"""The rows of each head, and of each tail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRows:
    """The index, open for reading; what it holds in memory grows with the entities, not with the rows."""

    path: str
    head_start: Int64[ndarray, " entity_or_end"]
    """The first row of each head; the rows of head e end where those of e + 1 start."""
    tail_start: Int64[ndarray, " entity_or_end"]
    """The place of each tail's first row in the list of rows by tail."""
    _arrays: Arrays
    _digests: Int64[ndarray, " chunk"]

    @property
    def degrees(self) -> Int64[ndarray, " entity"]:
        """Count the training triples of each entity: one that has it as head and as tail counts twice."""
        total: Int64[ndarray, " entity"] = np.diff(self.head_start) + np.diff(self.tail_start)
        return total

    def num_rows(self, entities: Int64[ndarray, " entity"]) -> tuple[int, int]:
        """Count the training triples that have one of these entities as their head, and as their tail."""
        of_heads, of_tails = (
            int((start[entities + 1] - start[entities]).sum()) for start in (self.head_start, self.tail_start)
        )
        return of_heads, of_tails

    def rows(self, entities: Int64[ndarray, " entity"]) -> Int64[ndarray, " row"]:
        """List the rows whose head or tail is one of these entities (ascending), ascending.

        Raises
        ------
        StoreError
            If the index is damaged.
        """
        heads = [np.arange(self.head_start[one], self.head_start[one + 1]) for one in entities.tolist()]
        return np.unique(np.concatenate([np.empty(0, np.int64), *heads, *self._of_tails(entities)]))

    def _of_tails(self, entities: Int64[ndarray, " entity"]) -> Iterator[Int64[ndarray, " row"]]:
        """Read the rows of tails; tails whose rows lie in neighbouring chunks are read together."""
        starts, stops = self.tail_start[entities], self.tail_start[entities + 1]
        starts, stops = starts[starts < stops], stops[starts < stops]
        is_apart = starts[1:] // DIGEST_ROWS > (stops[:-1] - 1) // DIGEST_ROWS + 1
        for part in np.split(np.arange(len(starts)), np.flatnonzero(is_apart) + 1):
            if len(part):
                first, rows = self._read_tails(int(starts[part[0]]), int(stops[part[-1]]))
                yield from (rows[starts[one] - first : stops[one] - first] for one in part)

    def _read_tails(self, start: int, stop: int) -> tuple[int, Int64[ndarray, " row"]]:
        """Read whole chunks of the list of rows by tail; gives the place of the first one, too."""
        first, last = chunk_range(start, stop, int(self.tail_start[-1]))
        rows = self._arrays.read(TAIL_ROWS, first, last).astype(np.int64)
        if first_other(self._digests, first, rows) is not None:
            raise StoreError(f"{self.path}: rows of tails are not those that were written; {AGAIN}")
        return first, rows


def find_entity_rows(store: TripleStore) -> EntityRows | None:
    """Open the index of a store; None if it has none.

    Raises
    ------
    StoreError
        If the index is damaged, or that of another store.
    """
    path = str(place_of(store.path) / FOLDER)
    try:
        group = open_group(path, "not an index that can be read", AGAIN)
    except FileNotFoundError:
        return None
    with damage_explained(path, "damaged attributes", AGAIN):
        attributes = group.attrs.asdict()
    if not is_as_written(attributes) or attributes.get("fingerprint") != store.info.fingerprint:
        raise StoreError(f"{path}: damaged, or the index of another store; {AGAIN}")
    size, arrays = store.info.num_entities + 1, Arrays(group=group, path=path, remedy=AGAIN)
    head_start, tail_start = (
        arrays.read(name, 0, size).astype(np.int64, copy=False) for name in (HEAD_START, TAIL_START)
    )
    digests = arrays.read(DIGESTS, 0, num_chunks(len(store))).astype(np.int64)
    if numbers_sha256(head_start, tail_start, digests) != attributes.get("numbers_sha256"):
        raise StoreError(f"{path}: its numbers are not those that were written; {AGAIN}")
    return EntityRows(path=path, head_start=head_start, tail_start=tail_start, _arrays=arrays, _digests=digests)


def entity_rows(store: TripleStore) -> EntityRows:
    """Open the index of a store, and make it first if it has none.

    Raises
    ------
    StoreError
        If the index is damaged, or that of another store.
    OSError
        If it is missing, and cannot be written.
    BusyError
        If it is missing, and another process is making it.
    """
    found = find_entity_rows(store)
    if found is not None:
        return found
    place = place_of(store.path) / FOLDER
    place.parent.check_writable()
    with contextlib.suppress(StoreExistsError), place.new_folder() as part:  # made by another run in the meantime
        write_entity_rows(part, store)
    made = find_entity_rows(store)
    if made is None:
        raise StoreError(f"{place}: no index, but something else; {AGAIN}")
    return made


def counted_degrees(store: TripleStore) -> Int64[ndarray, " entity"]:
    """Count the training triples of each entity as `EntityRows.degrees`, by reading all rows.

    Raises
    ------
    StoreError
        If the store is damaged.
    """
    heads, tails = _count(store)
    total: Int64[ndarray, " entity"] = heads + tails
    return total


def write_entity_rows(
    folder: Place,
    store: TripleStore,
    counts: Counts | None = None,
    *,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    on_rows: Callable[[int], object] = lambda _: None,
) -> None:
    """Fill an empty folder with the index of a store.

    The store is read once to count where `counts` are not known, and then once for every so many rows as can be sorted
    in the memory.
    """
    start_index(folder, *(counts or _count(store)))
    digests = []
    for start, stop in shard_ranges(len(store), memory_bytes // BYTES_PER_ROW):
        digests.append(write_tail_rows(folder, store, start, stop))
        on_rows(stop - start)
    finish_index(folder, store, np.concatenate(digests))


def shard_ranges(num_rows: int, most_rows: int) -> list[tuple[int, int]]:
    """Cut rows into ranges of whole shards: of one, or of no more rows than stated."""
    step = max(1, most_rows // SHARD_ROWS) * SHARD_ROWS
    return [(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]


def start_index(folder: Place, heads: Int64[ndarray, " entity"], tails: Int64[ndarray, " entity"]) -> None:
    """Make the arrays of an index in an empty folder, and write where the rows of each entity begin."""
    group, num_rows = zarr.create_group(folder.zarr_store(), zarr_format=3), int(tails.sum())
    for name, counts in ((HEAD_START, heads), (TAIL_START, tails)):
        numbers = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        create_array(group, name, numbers.shape, numbers.dtype, fill_value=MISSING_ID, chunks=WHOLE)[:] = numbers
    create_array(group, TAIL_ROWS, (num_rows,), np.min_scalar_type(-num_rows), fill_value=MISSING_ID)


def write_tail_rows(folder: Place, store: TripleStore, start: int, stop: int) -> Int64[ndarray, " chunk"]:
    """Write whole shards of the list of rows by tail: start ≤ place < stop; gives the digests of their chunks.

    No other process may write the same shards.
    """
    group = zarr.open_group(folder.zarr_store(), mode="r+", zarr_format=3)
    array, starts = find_array(group, TAIL_ROWS), find_array(group, TAIL_START)
    assert array is not None, "the index is begun first"  # noqa: S101 - an impossible state
    assert starts is not None, "the index is begun first"  # noqa: S101 - an impossible state
    rows = _rows_of_tails(store, np.asarray(starts[:]), start, stop)
    array[start:stop] = rows.astype(array.dtype)
    return row_digests(rows)


def finish_index(folder: Place, store: TripleStore, digests: Int64[ndarray, " chunk"]) -> None:
    """Write the digests of an index whose rows are all there."""
    group = zarr.open_group(folder.zarr_store(), mode="r+", zarr_format=3)
    found = [find_array(group, name) for name in (HEAD_START, TAIL_START)]
    starts = [np.asarray(array[:]) for array in found if array is not None]
    create_array(group, DIGESTS, digests.shape, digests.dtype, fill_value=MISSING_ID)[:] = digests
    stated = {"fingerprint": store.info.fingerprint, "numbers_sha256": numbers_sha256(*starts, digests)}
    group.attrs.put(with_digest({**FORMAT, **stated}))


def _count(store: TripleStore) -> Counts:
    """Count the rows of each head and of each tail."""
    number = store.info.num_entities
    heads, tails = np.zeros(number, np.int64), np.zeros(number, np.int64)
    for start in range(0, len(store), SHARD_ROWS):
        triples = store.read(start, min(start + SHARD_ROWS, len(store))).triples
        count_ids(heads, triples[:, 0])
        count_ids(tails, triples[:, 2])
    return heads, tails


def _rows_of_tails(
    store: TripleStore, tail_start: Int64[ndarray, " entity_or_end"], start: int, stop: int
) -> Int64[ndarray, " row"]:
    """Give a part of the list of rows by tail: those at start ≤ place < stop."""
    first, last = (np.searchsorted(tail_start, [start, stop - 1], side="right") - 1).tolist()
    keys, next_place = [], {tail: int(tail_start[tail]) for tail in (first, last)}
    for at in range(0, len(store), SHARD_ROWS):
        tails = store.read(at, min(at + SHARD_ROWS, len(store))).triples[:, 2]
        is_chosen = (tails >= first) & (tails <= last)
        for tail, place in next_place.items():  # whose rows may lie in other parts, too
            rows = np.flatnonzero(tails == tail)
            places = place + np.arange(len(rows))
            is_chosen[rows] = (places >= start) & (places < stop)
            next_place[tail] = place + len(rows)
        chosen = np.flatnonzero(is_chosen)
        keys.append((tails[chosen] - first) * len(store) + (at + chosen))
    rows_by_tail: Int64[ndarray, " row"] = np.sort(np.concatenate(keys)) % len(store)
    return rows_by_tail
