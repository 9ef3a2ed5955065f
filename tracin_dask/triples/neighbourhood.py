"""The training triples that touch some entities, read from a store by its index, or by looking at all rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.digests import DIGEST_ROWS
from tracin_dask.triples.entity_rows import EntityRows
from tracin_dask.triples.store import TripleStore

FEW_ROWS = 2**21
"""Up to so many rows are looked up in the index; more are found while all rows are read, which is as fast then."""
STEP_ROWS = 131_072
"""Rows of the store that are read at a time where all of them are."""
KEPT_ROWS = 2**18
"""Up to so many rows are kept when they are read: curvature looks at them once, and scoring once more."""
Found = tuple[TripleBlock, Int64[ndarray, " row"]]
"""Training triples, and where they stand in the store."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbourhood:
    """Entities, and how to find the training triples that touch them."""

    entities: Int64[ndarray, " entity"]
    """Ascending."""
    num_heads: int
    """Training triples that have one of them as their head."""
    num_tails: int
    """Those that have one as their tail; some may have both."""
    rows: Int64[ndarray, " row"] | None
    """Where these stand in the store, ascending; None if all rows are read to find them."""
    _kept: list[Found] = field(default_factory=list, repr=False)
    """All of them with their triples, once they are read, if they are few."""

    def __reduce__(self) -> tuple[object, ...]:
        """Travel without what is kept."""
        return _made, (self.entities, self.num_heads, self.num_tails, self.rows)

    @classmethod
    def of(cls, index: EntityRows, entities: Int64[ndarray, " entity"]) -> "Neighbourhood":
        """Look entities up in an index."""
        num_heads, num_tails = index.num_rows(entities)
        rows = index.rows(entities) if num_heads + num_tails <= FEW_ROWS else None
        return cls(entities=entities, num_heads=num_heads, num_tails=num_tails, rows=rows)

    @property
    def most_rows(self) -> int:
        """No more training triples touch them."""
        return self.num_heads + self.num_tails

    @property
    def num_bytes(self) -> int:
        """Count what it holds."""
        return self.entities.nbytes + (0 if self.rows is None else self.rows.nbytes)

    def among(self, some: Int64[ndarray, " entity"]) -> "Neighbourhood":
        """Keep some of the entities; reads the same rows, and leaves out those that touch the others only."""
        return replace(self, entities=some)

    def touches(self, triples: Int64[ndarray, "row 3"], num_entities: int) -> Bool[ndarray, " row"]:
        """Tell which triples have one of the entities as their head or tail."""
        is_in = np.zeros(num_entities, dtype=bool)
        is_in[self.entities] = True
        found: Bool[ndarray, " row"] = is_in[triples[:, 0]] | is_in[triples[:, 2]]
        return found

    def read(self, store: TripleStore, start: int, stop: int) -> Iterator[Found]:
        """Read the training triples of a range of rows that touch the entities, in blocks.

        Raises
        ------
        StoreError
            If rows are missing or damaged.
        """
        blocks = _all_rows(store, start, stop) if self.rows is None else self._listed(store, self.rows, start, stop)
        for block, rows in blocks:
            chosen = np.flatnonzero(self.touches(block.triples, store.info.num_entities))
            if len(chosen):
                yield block.where(chosen), rows[chosen]

    def _listed(self, store: TripleStore, rows: Int64[ndarray, " row"], start: int, stop: int) -> Iterator[Found]:
        if len(rows) > KEPT_ROWS:
            yield from listed_rows(store, rows, start, stop)
            return
        if not self._kept:
            self._kept.append((concatenate([block for block, _ in listed_rows(store, rows, 0, len(store))]), rows))
        ((block, _),) = self._kept
        first, last = np.searchsorted(rows, [start, stop]).tolist()
        if first < last:
            yield block[first:last], rows[first:last]


def _made(
    entities: Int64[ndarray, " entity"], num_heads: int, num_tails: int, rows: Int64[ndarray, " row"] | None
) -> Neighbourhood:
    return Neighbourhood(entities=entities, num_heads=num_heads, num_tails=num_tails, rows=rows)


def counted_neighbourhood(store: TripleStore, entities: Int64[ndarray, " entity"]) -> Neighbourhood:
    """Count what touches entities by reading all rows of a store that has no index, as its index would count."""
    counts, is_in = [0, 0], np.zeros(store.info.num_entities, dtype=bool)
    is_in[entities] = True
    for block, _ in _all_rows(store, 0, len(store)):
        for side, column in enumerate((0, 2)):
            counts[side] += int(is_in[block.triples[:, column]].sum())
    return Neighbourhood(entities=entities, num_heads=counts[0], num_tails=counts[1], rows=None)


def _all_rows(store: TripleStore, start: int, stop: int) -> Iterator[Found]:
    for first in range(start, stop, STEP_ROWS):
        last = min(first + STEP_ROWS, stop)
        yield store.read(first, last), np.arange(first, last)


def listed_rows(store: TripleStore, rows: Int64[ndarray, " row"], start: int, stop: int) -> Iterator[Found]:
    """Read listed rows: whole chunks, since these are decompressed whole, neighbouring ones together."""
    mine = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
    if len(mine) == 0:
        return
    chunk = mine // DIGEST_ROWS
    cuts = np.flatnonzero(np.diff(chunk) > 1) + 1
    for part in np.split(mine, cuts):
        for first in range(int(part[0]) // DIGEST_ROWS * DIGEST_ROWS, int(part[-1]) + 1, STEP_ROWS):
            some = part[np.searchsorted(part, first) : np.searchsorted(part, first + STEP_ROWS)]
            if len(some):
                low, high = int(some[0]), int(some[-1]) + 1
                yield store.read(low, high).where(some - low), some
