"""Triples and pairs of entities as single numbers, and the lines that repeat an earlier one."""

import numpy as np
from jaxtyping import Bool, Int, Int64
from numpy import ndarray

from tracin_dask.triples.sort import KeyLayout


def first_lines(triples: Int64[ndarray, "row 3"], layout: KeyLayout) -> Bool[ndarray, " row"]:
    """Tell which rows do not repeat an earlier row."""
    keys = layout.pack(triples)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[order[1:]] = keys[1:] != keys[:-1]
    return is_first


def distinct_triples(triples: Int64[ndarray, "row 3"], layout: KeyLayout) -> Int64[ndarray, "distinct 3"]:
    """Leave repeated rows out; nothing is copied where there are none."""
    return _where(triples, first_lines(triples, layout))


def without_loops(triples: Int64[ndarray, "row 3"]) -> Int64[ndarray, "other 3"]:
    """Leave the triples of an entity with itself out; nothing is copied where there are none."""
    return _where(triples, triples[:, 0] != triples[:, 2])


def _where(triples: Int64[ndarray, "row 3"], is_chosen: Bool[ndarray, " row"]) -> Int64[ndarray, "chosen 3"]:
    return triples if is_chosen.all() else triples[is_chosen]


def pair_codes(first: Int[ndarray, " row"], second: Int[ndarray, " row"], num_entities: int) -> Int64[ndarray, " row"]:
    """Make one number of an ordered pair of entities; graphs have fewer than 3 · 10⁹ of these."""
    codes: ndarray = first * np.int64(num_entities) + second
    return codes


def is_among(codes: Int64[ndarray, " row"], wanted: Int64[ndarray, " wanted"]) -> Bool[ndarray, " row"]:
    """Tell which numbers are among ascending ones."""
    if not len(wanted):
        return np.zeros(len(codes), dtype=bool)
    found: ndarray = wanted.take(np.searchsorted(wanted, codes), mode="clip") == codes
    return found
