"""Which entities are the tail of a (head, relation), or the head of a (relation, tail), in some training triple."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from tracin_dask.triples.key_ranges import layout_of, rows_in_ranges
from tracin_dask.triples.store import CHUNK_ROWS, TripleStore

SCAN_ROWS = 4 * CHUNK_ROWS
"""Rows that a pass over the store reads at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownEnds:
    """A bit for each distinct pair and each entity: whether a training triple has both."""

    bits: UInt8[ndarray, "distinct byte"]
    row_of_pair: Int[ndarray, " pair"]
    """The row of each pair that was asked for."""


def known_positions(ends: Sequence[KnownEnds], pairs: slice) -> tuple[Int[ndarray, " known"], Int[ndarray, " known"]]:
    """Give what is known of some of the pairs, by any of the `ends`: places of pairs in the slice, and entities."""
    bits = np.bitwise_or.reduce([one.bits[one.row_of_pair[pairs]] for one in ends])
    row, byte = np.nonzero(bits)
    place, bit = np.nonzero(np.unpackbits(bits[row, byte, None], axis=1, bitorder="little"))
    return row[place], 8 * byte[place] + bit


def known_ends_bytes(num_pairs: int, num_entities: int) -> int:
    """Count the bytes that `KnownEnds` of so many pairs takes."""
    return num_pairs * (-(-num_entities // 8) + 8)


def known_tails(store: TripleStore, pairs: Int[ndarray, "pair 2"]) -> KnownEnds:
    """Find the tails of (head, relation) pairs by halving: a few pairs take a few reads."""
    distinct, row_of_pair = np.unique(pairs, axis=0, return_inverse=True)
    known, layout, last_entity = _nothing_known(store, row_of_pair), layout_of(store), store.info.num_entities - 1
    first, last = (
        layout.pack(np.column_stack([distinct, np.full(len(distinct), tail, np.int64)])) for tail in (0, last_entity)
    )
    for found in rows_in_ranges(store, first, last):
        _mark(known, found.place, found.block.triples[:, 2])
    return known


def known_heads(store: TripleStore, pairs: Int[ndarray, "pair 2"]) -> KnownEnds:
    """Find the heads of (relation, tail) pairs, in one pass over the store."""
    distinct, row_of_pair = np.unique(pairs, axis=0, return_inverse=True)
    known, wanted = _nothing_known(store, row_of_pair), _keys(store, distinct)
    is_tail = np.zeros(store.info.num_entities, dtype=bool)
    is_tail[distinct[:, 1]] = True
    for start in range(0, len(store), SCAN_ROWS):
        triples = store.read(start, min(start + SCAN_ROWS, len(store))).triples
        triples = triples[is_tail[triples[:, 2]]]
        keys = _keys(store, triples[:, 1:])
        place = np.searchsorted(wanted, keys)
        is_found = wanted.take(place, mode="clip") == keys
        _mark(known, place[is_found], triples[is_found, 0])
    return known


def _keys(store: TripleStore, pairs: Int[ndarray, "pair 2"]) -> Int[ndarray, " pair"]:
    """Make one number of a (relation, tail); they ascend as the pairs do."""
    keys: ndarray = pairs[:, 0] * store.info.num_entities + pairs[:, 1]
    return keys


def _nothing_known(store: TripleStore, row_of_pair: Int[ndarray, " pair"]) -> KnownEnds:
    number = int(row_of_pair.max(initial=-1)) + 1
    bits = np.zeros((number, -(-store.info.num_entities // 8)), dtype=np.uint8)
    return KnownEnds(bits=bits, row_of_pair=row_of_pair.ravel())


def _mark(known: KnownEnds, place: Int[ndarray, " row"], entities: Int[ndarray, " row"]) -> None:
    """Set bits; several rows may set the same one, or others of its byte."""
    np.bitwise_or.at(known.bits, (place, entities >> 3), (1 << (entities & 7)).astype(np.uint8))
