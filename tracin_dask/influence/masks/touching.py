"""Ranks training triples that share an entity with the test triple, or that are another triple than it."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.masks.base import any_member

Touching = Literal["head", "tail", "either", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchingMask:
    """Ranks training triples with the test triple's head, its tail, either or both, as their own head or tail."""

    touching: Touching

    @property
    def name(self) -> str:
        """The name of the mask."""
        return "touching"

    @property
    def identity(self) -> str:
        """Which entities count."""
        return self.touching

    @property
    def num_bytes(self) -> int:
        """It holds nothing."""
        return 0

    def rows(self, triples: ndarray, train_index: ndarray) -> None:
        """Every training triple may touch some test triple."""

    def pairs(
        self, triples: Int[ndarray, "row 3"], _: Int[ndarray, " row"], targets: Targets
    ) -> Bool[ndarray, "row answer"]:
        """Tell which training triples touch a test triple of an answer."""
        head, tail = (_has_entity(triples, targets.triples[:, column]) for column in (0, 2))
        found = {"head": head, "tail": tail, "either": head | tail, "both": head & tail}[self.touching]
        return any_member(found, targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludeSelfMask:
    """Ranks training triples that are another triple than the test triple."""

    @property
    def name(self) -> str:
        """The name of the mask."""
        return "exclude_self"

    @property
    def identity(self) -> bool:
        """It has no settings."""
        return True

    @property
    def num_bytes(self) -> int:
        """It holds nothing."""
        return 0

    def rows(self, triples: ndarray, train_index: ndarray) -> None:
        """Every training triple is another one than some test triple."""

    def pairs(
        self, triples: Int[ndarray, "row 3"], _: Int[ndarray, " row"], targets: Targets
    ) -> Bool[ndarray, "row answer"]:
        """Tell which training triples equal no test triple of an answer."""
        head, relation, tail = (triples[:, [column]] == targets.triples[:, column] for column in range(3))
        return ~any_member(head & relation & tail, targets)


def _has_entity(triples: Int[ndarray, "row 3"], entities: Int[ndarray, " test"]) -> Bool[ndarray, "row test"]:
    found: Bool[ndarray, "row test"] = (triples[:, [0]] == entities) | (triples[:, [2]] == entities)
    return found
