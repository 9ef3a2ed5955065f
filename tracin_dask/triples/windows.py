"""How many heads and pairs (head, relation) neighbouring rows of a store have, by looking at some places."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tracin_dask.triples.store import TripleStore

LOOKS = 16
"""Places in a store, evenly spread from its first row to its last."""
LOOKED_AT = 1 << 16
"""Rows at each place. More rows have no larger share of distinct heads or pairs than the largest of their parts."""


def most_distinct(store: "TripleStore", num_rows: int) -> tuple[int, int]:
    """Estimate the largest numbers of distinct heads and distinct pairs in so many neighbouring rows.

    They are the largest of a few places, times the rows: a place in between may have more. All rows count as distinct
    where fewer are asked for than are looked at.

    Raises
    ------
    StoreError
        If rows cannot be read.
    """
    if num_rows < LOOKED_AT:
        return num_rows, num_rows
    last = max(0, len(store) - LOOKED_AT)
    shares = np.zeros(2)
    for start in np.unique(np.linspace(0, last, LOOKS).astype(np.int64)).tolist():
        triples = store.read(start, min(start + LOOKED_AT, len(store))).triples
        is_head = np.diff(triples[:, 0], prepend=-1) != 0
        is_pair = is_head | (np.diff(triples[:, 1], prepend=-1) != 0)
        shares = np.maximum(shares, [is_head.mean(), is_pair.mean()])
    heads, pairs = np.ceil(shares * num_rows).astype(np.int64).tolist()
    return heads, pairs
