"""How many heads and pairs (head, relation) neighbouring rows of a store have, by looking at some places."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tracin_dask.triples.store import TripleStore

LOOKS = 16
"""Places in a store, evenly spread from its first row to its last."""
LOOKED_AT = 1 << 16
"""Rows at each place. More rows have no larger share of distinct heads or pairs than the largest of their parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MostDistinct:
    """The largest shares of distinct heads and distinct pairs among neighbouring rows, at the places looked at."""

    num_rows: int
    """At each place: fewer rows may all be distinct."""
    heads: float
    pairs: float


def most_distinct(store: "TripleStore") -> MostDistinct:
    """Look at a few places; one in between may have larger shares.

    Raises
    ------
    StoreError
        If rows cannot be read.
    """
    last, shares = max(0, len(store) - LOOKED_AT), np.zeros(2)
    for start in np.unique(np.linspace(0, last, LOOKS).astype(np.int64)).tolist():
        triples = store.read(start, min(start + LOOKED_AT, len(store))).triples
        is_head = np.diff(triples[:, 0], prepend=-1) != 0
        is_pair = is_head | (np.diff(triples[:, 1], prepend=-1) != 0)
        shares = np.maximum(shares, [is_head.mean(), is_pair.mean()])
    heads, pairs = shares.tolist()
    return MostDistinct(num_rows=LOOKED_AT, heads=heads, pairs=pairs)
