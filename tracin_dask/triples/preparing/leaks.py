"""Training triples that give a held-out triple away: they have its two entities, in this or the other direction."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.triples.preparing.pairs import is_among, pair_codes

RemovedPairs = Literal["any", "same", "inverse", "none"]
"""Which training triples are taken out: those with a held-out pair in any direction, the same or the other one."""


def leaking(
    triples: Int[ndarray, "row 3"], held: Int[ndarray, "held 3"], num_entities: int, pairs: RemovedPairs
) -> Bool[ndarray, " row"]:
    """Tell which triples link the two entities of a held-out triple, in the wanted directions, by any relation."""
    found = np.zeros(len(triples), dtype=bool)
    if pairs in {"any", "same"}:
        found |= _have_pairs(triples, held[:, 0], held[:, 2], num_entities)
    if pairs in {"any", "inverse"}:
        found |= _have_pairs(triples, held[:, 2], held[:, 0], num_entities)
    return found


def _have_pairs(
    triples: Int[ndarray, "row 3"], heads: Int[ndarray, " held"], tails: Int[ndarray, " held"], num_entities: int
) -> Bool[ndarray, " row"]:
    """Compare only triples whose head and tail are both among those that are wanted."""
    is_head, is_tail = np.zeros(num_entities, dtype=bool), np.zeros(num_entities, dtype=bool)
    is_head[heads] = is_tail[tails] = True
    near = np.flatnonzero(is_head[triples[:, 0]] & is_tail[triples[:, 2]])
    codes = pair_codes(triples[near, 0], triples[near, 2], num_entities)
    found = np.zeros(len(triples), dtype=bool)
    found[near] = is_among(codes, np.unique(pair_codes(heads, tails, num_entities)))
    return found
