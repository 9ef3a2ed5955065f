"""Ranks training triples that are near a test triple in the graph, or on a path from its head to its tail."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt8
from numpy import ndarray

from tracin_dask.identity import Json
from tracin_dask.influence.columns import Targets
from tracin_dask.influence.masks.base import any_member
from tracin_dask.influence.masks.entity_bits import EntityBits, unpacked

WITHIN_HOPS, ON_PATHS = "within_hops", "on_paths"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRules:
    """How walks go through the graph."""

    max_length: int
    """Triples of a walk."""
    is_directed: bool
    """Whether walks follow triples from head to tail only."""
    min_degree: int | None
    """Walks go through no entity with fewer training triples."""
    max_degree: int | None
    """Walks go through no entity with more training triples."""

    @property
    def identity(self) -> Json:
        """What tells them from others: the length alone where nothing else is asked."""
        further = {"directed": self.is_directed, "min_degree": self.min_degree, "max_degree": self.max_degree}
        stated = {name: value for name, value in further.items() if value not in (None, False)}
        return {"length": self.max_length, **stated} if stated else self.max_length


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithinHopsMask:
    """Ranks training triples at the end of a walk of few triples from the test triple's head or tail."""

    rules: WalkRules
    open: EntityBits
    """The entities from which a walk may go on by one more triple."""

    @property
    def name(self) -> str:
        """The name of the mask."""
        return WITHIN_HOPS

    @property
    def identity(self) -> Json:
        """How walks go."""
        return self.rules.identity

    @property
    def num_bytes(self) -> int:
        """The bytes of the sets of entities."""
        return self.open.num_bytes

    def rows(self, triples: ndarray, train_index: ndarray) -> None:
        """Every training triple may be near some test triple."""

    def pairs(
        self, triples: Int[ndarray, "row 3"], _: Int[ndarray, " row"], targets: Targets
    ) -> Bool[ndarray, "row answer"]:
        """Tell which training triples are near a test triple of an answer."""
        found = self.open.at(triples[:, 0])
        if not self.rules.is_directed:
            found |= self.open.at(triples[:, 2])
        return any_member(unpacked(found, len(targets.triples)), targets)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnPathsMask:
    """Ranks training triples on a simple path of two to four triples from the test triple's head to its tail.

    The sets are those of a path h → a → b → c → t, and of shorter ones.
    """

    rules: WalkRules
    head: EntityBits
    tail: EntityBits
    first: EntityBits
    """What comes behind the head on some path."""
    last: EntityBits
    """What comes before the tail on some path."""
    after_head: EntityBits | None = None
    """What a triple joins to the head; None if no path has three triples."""
    before_tail: EntityBits | None = None
    """What a triple joins to the tail."""
    middle: EntityBits | None = None
    """What is one triple from `after_head` and one from `before_tail`; None if no path has four triples."""
    from_two: EntityBits | None = None
    """Those of `middle` that are joined to two entities of `after_head`."""
    to_two: EntityBits | None = None
    """Those of `middle` that are joined to two entities of `before_tail`."""
    both_ways: Int64[ndarray, " pair"] | None = None
    """Ascending pairs, head · entities + tail, with triples both ways; None if paths may go against every triple."""

    @property
    def name(self) -> str:
        """The name of the mask."""
        return ON_PATHS

    @property
    def identity(self) -> Json:
        """How paths go."""
        return self.rules.identity

    @property
    def num_bytes(self) -> int:
        """The bytes of the sets of entities."""
        values = [getattr(self, field.name) for field in fields(self)]
        sets = sum(value.num_bytes for value in values if isinstance(value, EntityBits))
        return sets + (0 if self.both_ways is None else self.both_ways.nbytes)

    def rows(self, triples: ndarray, train_index: ndarray) -> None:
        """Every training triple may lie on a path of some test triple."""

    def pairs(
        self, triples: Int[ndarray, "row 3"], _: Int[ndarray, " row"], targets: Targets
    ) -> Bool[ndarray, "row answer"]:
        """Tell which training triples lie on a path of a test triple of an answer."""
        heads, tails = triples[:, 0], triples[:, 2]
        found = self._along(heads, tails)
        if not self.rules.is_directed:
            found |= self._along(tails, heads)
        found[heads == tails] = 0
        return any_member(unpacked(found, len(targets.triples)), targets)

    def _along(self, start: Int[ndarray, " row"], end: Int[ndarray, " row"]) -> UInt8[ndarray, "row byte"]:
        """Tell which triples lie on a path from their start to their end."""
        at_head, at_tail = self.head.at(start), self.tail.at(end)
        found: UInt8[ndarray, "row byte"] = at_head & at_tail
        found |= at_head & self.first.at(end)
        found |= self.last.at(start) & at_tail
        for part in self._between(start, end):
            found |= part
        return found

    def _between(self, start: Int[ndarray, " row"], end: Int[ndarray, " row"]) -> Iterator[UInt8[ndarray, "row byte"]]:
        """Tell which triples are the middle one of three, the second of four, and the third of four."""
        if self.after_head is None or self.before_tail is None:
            return
        after, before = self.after_head.at(start), self.before_tail.at(end)
        yield after & before
        if self.middle is None or self.from_two is None or self.to_two is None:
            return
        is_returning = self._is_returning(start, end)
        # h → start → end → c → t: c is not `start`, which may come before t itself
        returns = self.before_tail.at(start) & is_returning
        yield after & self.middle.at(end) & (self.to_two.at(end) | ~returns)
        # h → a → start → end → t: a is not `end`, which may come behind h itself
        returns = self.after_head.at(end) & is_returning
        yield before & self.middle.at(start) & (self.from_two.at(start) | ~returns)

    def _is_returning(self, start: Int[ndarray, " row"], end: Int[ndarray, " row"]) -> UInt8[ndarray, "row one"]:
        """Set all bits of triples whose end leads back to their start."""
        if self.both_ways is None:
            return np.full((len(start), 1), 255, np.uint8)
        pairs = start.astype(np.int64) * self.head.num_entities + end
        there = np.searchsorted(self.both_ways, pairs, side="right") > np.searchsorted(self.both_ways, pairs)
        bits: UInt8[ndarray, "row one"] = np.where(there, 255, 0).astype(np.uint8)[:, None]
        return bits
