"""What each relation looks like: its size, its symmetry, and the relations that repeat it or turn it around."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int64
from numpy import ndarray
from scipy.sparse import coo_array, csr_array

from tracin_dask.triples.preparing.pairs import pair_codes, without_loops

JOINED = 1 << 22
"""Matching pairs that are counted at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another relation with the same pairs of entities, in this or the other direction."""

    relation: int
    share: float
    """The part of the triples whose pair it has, too."""
    share_of_other: float
    """The part of its own triples that these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationRow:
    """A relation of a graph."""

    relation: int
    triples: int
    heads: int
    """Distinct heads."""
    tails: int
    """Distinct tails."""
    symmetric: float
    """The part of the triples, without self-loops, that are there backwards, too."""
    inverse: Other | None
    """The relation that has the most of its triples backwards; None if none has any."""
    repeated: Other | None
    """The other relation that has the most of its pairs in the same direction."""


def relation_rows(triples: Int[ndarray, "row 3"], num_entities: int, num_relations: int) -> list[RelationRow]:
    """Describe all relations that have triples, the largest first; the triples are distinct."""
    relations = triples[:, 1]
    sizes = np.bincount(relations, minlength=num_relations)
    heads, tails = (_distinct(triples[:, column], relations, num_relations) for column in (0, 2))
    is_loop = triples[:, 0] == triples[:, 2]
    backwards = _overlaps(without_loops(triples), num_entities, num_relations, turned=True)
    same = _overlaps(triples, num_entities, num_relations, turned=False)
    loops = np.bincount(relations[is_loop], minlength=num_relations)
    symmetric = backwards.diagonal() / np.maximum(sizes - loops, 1)
    order = np.argsort(-sizes, kind="stable")
    return [
        RelationRow(
            relation=number,
            triples=int(sizes[number]),
            heads=int(heads[number]),
            tails=int(tails[number]),
            symmetric=float(symmetric[number]),
            inverse=_largest(backwards, number, sizes),
            repeated=_largest(same, number, sizes),
        )
        for number in order.tolist()
        if sizes[number]
    ]


def _distinct(
    entities: Int[ndarray, " row"], relations: Int[ndarray, " row"], num_relations: int
) -> Int64[ndarray, " relation"]:
    """Count the distinct entities of each relation."""
    codes = np.unique(entities * np.int64(num_relations) + relations)
    return np.bincount(codes % num_relations, minlength=num_relations)


def _overlaps(triples: Int[ndarray, "row 3"], num_entities: int, num_relations: int, *, turned: bool) -> csr_array:
    """Count for each two relations the triples of the first whose pair the second has, or has turned around."""
    codes = pair_codes(triples[:, 0], triples[:, 2], num_entities)
    order = np.argsort(codes, kind="stable")
    theirs, their_relation = codes[order], triples[order, 1]
    ours, our_relation = theirs, their_relation
    if turned:
        ours = pair_codes(triples[:, 2], triples[:, 0], num_entities)
        order = np.argsort(ours, kind="stable")
        ours, our_relation = ours[order], triples[order, 1]
    first, last = np.searchsorted(theirs, ours, side="left"), np.searchsorted(theirs, ours, side="right")
    found = csr_array((num_relations, num_relations), dtype=np.int64)
    ends = np.cumsum(last - first)
    start = 0
    while start < len(ours):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + JOINED, side="right")))
        found = found + _counted(our_relation, their_relation, (first, last), slice(start, stop), num_relations)
        start = stop
    return found


def _counted(
    ours: Int[ndarray, " row"],
    theirs: Int[ndarray, " row"],
    ranges: tuple[Int[ndarray, " row"], Int[ndarray, " row"]],
    rows: slice,
    num_relations: int,
) -> csr_array:
    """Count the relations on both sides of some matching pairs."""
    first, last = (ends[rows] for ends in ranges)
    number = last - first
    place = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    left, right = np.repeat(ours[rows], number), theirs[np.repeat(first, number) + place]
    counts = coo_array((np.ones(len(left), np.int64), (left, right)), shape=(num_relations, num_relations))
    return counts.tocsr()


def _largest(overlaps: csr_array, relation: int, sizes: Int[ndarray, " relation"]) -> Other | None:
    """Find the other relation with the largest overlap; of equal ones, that with the lowest id."""
    begin, end = overlaps.indptr[relation : relation + 2]
    others, counts = overlaps.indices[begin:end], overlaps.data[begin:end]
    is_other = (others != relation) & (counts > 0)
    others, counts = others[is_other], counts[is_other]
    if not len(others):
        return None
    best = int(np.lexsort((others, -counts))[0])
    return Other(
        relation=int(others[best]),
        share=float(counts[best] / sizes[relation]),
        share_of_other=float(counts[best] / sizes[others[best]]),
    )
