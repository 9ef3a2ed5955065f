"""Ranks the training triples of some relations only, or of all others."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationMask:
    """Ranks training triples by their relation."""

    relations: tuple[int, ...]
    excluded: bool
    """Whether these are left out, or all others."""

    @property
    def name(self) -> str:
        """The name of the mask."""
        return "exclude_relations" if self.excluded else "only_relations"

    @property
    def identity(self) -> list[int]:
        """The relations, in any order."""
        return sorted(set(self.relations))

    @property
    def num_bytes(self) -> int:
        """A few numbers."""
        return 8 * len(self.relations)

    def rows(self, triples: Int[ndarray, "row 3"], _: Int[ndarray, " row"]) -> Bool[ndarray, " row"]:
        """Tell which training triples have a relation that is ranked."""
        return np.isin(triples[:, 1], self.relations, invert=self.excluded)

    def pairs(self, triples: ndarray, train_index: ndarray, targets: Targets) -> None:
        """All test triples rank the same rows."""
