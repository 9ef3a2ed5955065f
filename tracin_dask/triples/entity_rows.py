"""The index entity → rows of a store: where the training triples of an entity stand, as their head and as their tail.

Rows are sorted by head, so the rows of a head are neighbours. The rows of a tail are listed, tail by tail.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import zarr
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import StoreError
from tracin_dask.places.place import Place, StoreExistsError
from tracin_dask.places.registry import place_of
from tracin_dask.triples.arrays import Arrays, damage_explained, open_group
from tracin_dask.triples.digests import (
    DIGEST_ROWS,
    RowDigester,
    chunk_range,
    first_other,
    is_as_written,
    num_chunks,
    numbers_sha256,
    with_digest,
)
from tracin_dask.triples.store import MISSING_ID, SHARD_ROWS, TripleStore
from tracin_dask.triples.write import WHOLE, create_array

FOLDER = "entity_rows"
"""The folder of the index in the store."""
FORMAT = {"format": "tracin-dask entity rows", "format_version": 1}
AGAIN = f"delete its folder {FOLDER}: the next run that needs it makes it again"
BYTES_PER_ROW = 32
"""Of a row while tails are sorted: its key, once more in order, and slack."""
DEFAULT_MEMORY_BYTES = 2**30
HEAD_START, TAIL_START, TAIL_ROWS, DIGESTS = "head_start", "tail_start", "tail_rows", "row_digest"


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
    heads, tails = _count(store, lambda _: None)
    total: Int64[ndarray, " entity"] = heads + tails
    return total


def write_entity_rows(
    folder: Place,
    store: TripleStore,
    *,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    on_rows: Callable[[int], object] = lambda _: None,
) -> None:
    """Fill an empty folder with the index of a store.

    The store is read once to count, and then once for every so many rows as can be sorted in the memory.
    """
    heads, tails = _count(store, on_rows)
    group = zarr.create_group(folder.zarr_store(), zarr_format=3)
    starts = {HEAD_START: _starts(heads), TAIL_START: _starts(tails)}
    for name, numbers in starts.items():
        create_array(group, name, numbers.shape, numbers.dtype, fill_value=MISSING_ID, chunks=WHOLE)[:] = numbers
    digests = _write_tail_rows(group, store, starts[TAIL_START], memory_bytes)
    create_array(group, DIGESTS, digests.shape, digests.dtype, fill_value=MISSING_ID)[:] = digests
    digest = numbers_sha256(*starts.values(), digests)
    stated = {"fingerprint": store.info.fingerprint, "numbers_sha256": digest}
    group.attrs.put(with_digest({**FORMAT, **stated}))


def _count(
    store: TripleStore, on_rows: Callable[[int], object]
) -> tuple[Int64[ndarray, " entity"], Int64[ndarray, " entity"]]:
    """Count the rows of each head and of each tail."""
    number = store.info.num_entities
    heads, tails = np.zeros(number, np.int64), np.zeros(number, np.int64)
    for start in range(0, len(store), SHARD_ROWS):
        triples = store.read(start, min(start + SHARD_ROWS, len(store))).triples
        heads += np.bincount(triples[:, 0], minlength=number)
        tails += np.bincount(triples[:, 2], minlength=number)
        on_rows(len(triples))
    return heads, tails


def _starts(counts: Int64[ndarray, " entity"]) -> Int64[ndarray, " entity_or_end"]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _write_tail_rows(
    group: zarr.Group, store: TripleStore, tail_start: Int64[ndarray, " entity_or_end"], memory_bytes: int
) -> Int64[ndarray, " chunk"]:
    """Write the rows of all tails, tail by tail; gives the digests of their chunks."""
    row_type = np.min_scalar_type(-len(store))
    array = create_array(group, TAIL_ROWS, (len(store),), row_type, fill_value=MISSING_ID)
    digester, pending, written = RowDigester(), np.empty(0, np.int64), 0
    for first, last in _buckets(tail_start, max(SHARD_ROWS, memory_bytes // BYTES_PER_ROW)):
        pending = np.concatenate([pending, _rows_of_tails(store, first, last)])
        whole = len(pending) if last == len(tail_start) - 1 else len(pending) // SHARD_ROWS * SHARD_ROWS
        array[written : written + whole] = pending[:whole].astype(row_type)
        digester.add(pending[:whole])
        written, pending = written + whole, pending[whole:]
    return digester.finish()


def _buckets(tail_start: Int64[ndarray, " entity_or_end"], most_rows: int) -> list[tuple[int, int]]:
    """Cut the tails into ranges of at most so many rows, or of one tail."""
    buckets, first, end = [], 0, len(tail_start) - 1
    while first < end:
        last = int(np.searchsorted(tail_start, tail_start[first] + most_rows, side="right")) - 1
        last = min(max(last, first + 1), end)
        buckets.append((first, last))
        first = last
    return buckets


def _rows_of_tails(store: TripleStore, first: int, last: int) -> Int64[ndarray, " row"]:
    """List the rows of the tails first ≤ tail < last, tail by tail, ascending within each."""
    keys = []
    for start in range(0, len(store), SHARD_ROWS):
        tails = store.read(start, min(start + SHARD_ROWS, len(store))).triples[:, 2]
        chosen = np.flatnonzero((tails >= first) & (tails < last))
        keys.append((tails[chosen] - first) * len(store) + (start + chosen))
    rows: Int64[ndarray, " row"] = np.sort(np.concatenate(keys)) % len(store)
    return rows
