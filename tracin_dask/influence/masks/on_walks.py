"""Ranks training triples on a walk from a test triple's head to its tail, which may enter an entity twice."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray

from tracin_dask.identity import Json
from tracin_dask.influence.columns import Targets
from tracin_dask.influence.masks.base import any_member
from tracin_dask.influence.masks.entity_bits import EntityBits, unpacked
from tracin_dask.influence.masks.walks import WalkRules

ON_WALKS = "on_walks"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnWalksMask:
    """Ranks training triples on a walk of few triples from the test triple's head to its tail."""

    rules: WalkRules
    behind: tuple[EntityBits, ...]
    """The n-th: the entities at most n triples behind the head, for n below the length of the longest walk."""
    before: tuple[EntityBits, ...]
    """The n-th: the entities at most n triples before the tail."""

    @property
    def name(self) -> str:
        """The name of the mask."""
        return ON_WALKS

    @property
    def identity(self) -> Json:
        """How walks go."""
        return self.rules.identity

    @property
    def num_bytes(self) -> int:
        """The bytes of the sets of entities."""
        return sum(one.num_bytes for one in (*self.behind, *self.before))

    def rows(self, triples: ndarray, train_index: ndarray) -> None:
        """Every training triple may lie on a walk of some test triple."""

    def pairs(
        self, triples: Int[ndarray, "row 3"], _: Int[ndarray, " row"], targets: Targets
    ) -> Bool[ndarray, "row answer"]:
        """Tell which training triples lie on a walk of a test triple of an answer."""
        heads, tails = triples[:, 0], triples[:, 2]
        found = self._along(heads, tails)
        if not self.rules.is_directed:
            found |= self._along(tails, heads)
        return any_member(unpacked(found, len(targets.triples)), targets)

    def _along(self, start: Int[ndarray, " row"], end: Int[ndarray, " row"]) -> UInt8[ndarray, "row byte"]:
        """Tell which triples lie on a walk from their start to their end: some of it before them, the rest behind."""
        found = np.zeros((len(start), self.behind[0].bits.shape[1]), np.uint8)
        for behind, before in zip(self.behind, reversed(self.before), strict=True):
            found |= behind.at(start) & before.at(end)
        return found
