"""Walks through the graph for many test triples at once: which entities each of them reaches, as sets of bits.

A table has a row for each entity and a bit for each test triple. One pass over the training triples moves the bits of
all test triples along.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64
from numpy import ndarray

from tracin_dask.triples.neighbourhood import Neighbourhood
from tracin_dask.triples.store import TripleStore

WORD = 8
"""Bytes of a row are a multiple of this, so that 64 bits are joined at a time."""
STEP_PAIRS = 2**18
"""Pairs of entities whose bits are joined at a time."""
Table = UInt8[ndarray, "entity byte"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walker:
    """How walks go: along which triples, and through which entities."""

    store: TripleStore
    find: Callable[[Int64[ndarray, " entity"]], Neighbourhood]
    """Finds the training triples that touch some entities."""
    is_directed: bool
    """Whether walks follow triples from head to tail only."""
    passes: Bool[ndarray, " entity"] | None
    """Which entities a walk may go through; None for all."""
    report: Callable[[str, int, int], object] = lambda *_: None
    """Called with the name of a pass over all rows, the rows that were read, and all rows."""

    def empty(self, num_tests: int) -> Table:
        """Make a table without bits."""
        return np.zeros((self.store.info.num_entities, -(-num_tests // (8 * WORD)) * WORD), np.uint8)

    def table(self, entities: Int64[ndarray, " test"], chosen: Bool[ndarray, " test"] | None = None) -> Table:
        """Give every test triple, or each of the chosen ones, one entity."""
        made, tests = self.empty(len(entities)), np.arange(len(entities))
        if chosen is not None:
            entities, tests = entities[chosen], tests[chosen]
        np.bitwise_or.at(made, (entities, tests // 8), (1 << (tests % 8)).astype(np.uint8))
        return made

    def passed(self, table: Table) -> Table:
        """Leave the bits of entities that a walk may go through, in place."""
        if self.passes is not None:
            table[~self.passes] = 0
        return table

    def ahead(self, table: Table, what: str, onto: Bool[ndarray, " entity"] | None = None) -> Table:
        """Move bits one triple ahead: an entity gets those of all entities from which a triple leads to it."""
        return self._moved(table, what, onto, ahead=True)

    def back(self, table: Table, what: str, onto: Bool[ndarray, " entity"] | None = None) -> Table:
        """Move bits one triple back: an entity gets those of all entities to which a triple leads from it."""
        return self._moved(table, what, onto, ahead=False)

    def _moved(self, table: Table, what: str, onto: Bool[ndarray, " entity"] | None, *, ahead: bool) -> Table:
        """Move bits along the training triples; `onto` says which entities get any, where not all do."""
        moved = np.zeros_like(table)
        words, found, has_bits = table.view(np.uint64), moved.view(np.uint64), some(table)
        touched = has_bits if onto is None or onto.sum() > has_bits.sum() else onto
        for triples in self._touching(touched, what):
            for source, target in self._sides(triples, ahead=ahead):
                chosen = has_bits[source] if onto is None else has_bits[source] & onto[target]
                _join(words, found, source[chosen], target[chosen])
        return moved

    def pairs(self, sources: Bool[ndarray, " entity"], what: str, *, ahead: bool) -> Int64[ndarray, "pair 2"]:
        """List the distinct pairs of a target and a source from which bits move to it, ordered by target."""
        number = self.store.info.num_entities
        codes = [np.empty(0, np.int64)]
        for triples in self._touching(sources, what):
            for source, target in self._sides(triples, ahead=ahead):
                chosen = sources[source] & (source != target)
                codes.append(_distinct(target[chosen] * number + source[chosen]))
        return np.stack(np.divmod(_distinct(np.concatenate(codes)), number), axis=1)

    def both_ways(self, entities: Bool[ndarray, " entity"], what: str) -> Int64[ndarray, " pair"]:
        """List the pairs, head · entities + tail, of one of these entities with which it has triples both ways."""
        number = self.store.info.num_entities
        codes = [_distinct(triples[:, 0] * number + triples[:, 2]) for triples in self._touching(entities, what)]
        there = _distinct(np.concatenate([np.empty(0, np.int64), *codes]))
        head, tail = np.divmod(there, number)
        return np.intersect1d(there, tail * number + head, assume_unique=True)

    def _touching(self, entities: Bool[ndarray, " entity"], what: str) -> Iterator[Int64[ndarray, "row 3"]]:
        """Read the training triples that touch some entities, and report how far all rows are read."""
        near, total = self.find(np.flatnonzero(entities)), len(self.store)
        for block, rows in near.read(self.store, 0, total):
            if near.rows is None:
                self.report(what, int(rows[-1]) + 1, total)
            yield block.triples
        if near.rows is None:
            self.report(what, total, total)

    def _sides(self, triples: Int64[ndarray, "row 3"], *, ahead: bool) -> list[tuple[ndarray, ndarray]]:
        """Give where bits come from and where they go: along the triples, and against them where that is allowed."""
        heads, tails = triples[:, 0], triples[:, 2]
        along, against = (heads, tails), (tails, heads)
        if self.is_directed:
            return [along if ahead else against]
        return [along, against]


def some(table: Table) -> Bool[ndarray, " entity"]:
    """Tell which entities have a bit."""
    return np.asarray(table.any(axis=1))


def counted_twice(
    table: Table, pairs: Int64[ndarray, "pair 2"]
) -> tuple[UInt8[ndarray, "entity byte"], UInt8[ndarray, "entity byte"]]:
    """Move bits along distinct pairs; gives what comes from at least one entity, and from at least two."""
    once, twice = np.zeros_like(table), np.zeros_like(table)
    words, one, two = (each.view(np.uint64) for each in (table, once, twice))
    for start in range(0, len(pairs), STEP_PAIRS):
        target, source = pairs[start : start + STEP_PAIRS].T
        target, single, double = _tally(target, words[source])
        two[target] |= double | (one[target] & single)
        one[target] |= single
    return once, twice


def _tally(
    target: Int64[ndarray, " pair"], single: UInt64[ndarray, "pair word"]
) -> tuple[ndarray, UInt64[ndarray, "target word"], UInt64[ndarray, "target word"]]:
    """Join the bits of each target pair by pair: those seen once, and those seen twice."""
    double = np.zeros_like(single)
    while True:
        first = np.flatnonzero(np.diff(target, prepend=-1))
        if len(first) == len(target):
            return target, single, double
        place = np.arange(len(target)) - np.repeat(first, np.diff(first, append=len(target)))
        left = np.flatnonzero(place % 2 == 0)
        mate = left[(left + 1 < len(target))]
        mate = mate[target[mate + 1] == target[mate]]
        double[mate] |= double[mate + 1] | (single[mate] & single[mate + 1])
        single[mate] |= single[mate + 1]
        target, single, double = target[left], single[left], double[left]


def _join(
    words: UInt64[ndarray, "entity word"],
    found: UInt64[ndarray, "entity word"],
    source: Int64[ndarray, " pair"],
    target: Int64[ndarray, " pair"],
) -> None:
    """Add the bits of sources to those of their targets."""
    order = np.argsort(target, kind="stable")  # fast for heads, which are in order
    for start in range(0, len(order), STEP_PAIRS):
        some = order[start : start + STEP_PAIRS]
        ends = target[some]
        first = np.flatnonzero(np.diff(ends, prepend=-1))
        found[ends[first]] |= np.bitwise_or.reduceat(words[source[some]], first, axis=0)


def _distinct(codes: Int64[ndarray, " code"]) -> Int64[ndarray, " distinct"]:
    """Order numbers, each once; a sort takes a tenth of the time of the hashes of `numpy.unique`."""
    ordered = np.sort(codes)
    found: Int64[ndarray, " distinct"] = ordered[np.diff(ordered, prepend=-1) != 0]
    return found
