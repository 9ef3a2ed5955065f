"""Ranks the listed training triples only."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidateMask:
    """Ranks training triples by their places in the training file."""

    train_index: Int[ndarray, " candidate"]
    """Ascending, at least one."""

    @property
    def name(self) -> str:
        """The name of the mask."""
        return "candidates"

    @property
    def identity(self) -> str:
        """A digest of the places."""
        return hashlib.sha256(self.train_index.astype("<i8").tobytes()).hexdigest()

    @property
    def num_bytes(self) -> int:
        """The bytes of the list."""
        return self.train_index.nbytes

    def rows(self, _: Int[ndarray, "row 3"], train_index: Int[ndarray, " row"]) -> Bool[ndarray, " row"]:
        """Tell which training triples are listed."""
        place = np.searchsorted(self.train_index, train_index)
        found: Bool[ndarray, " row"] = self.train_index[np.minimum(place, len(self.train_index) - 1)] == train_index
        return found

    def pairs(self, triples: ndarray, train_index: ndarray, targets: Targets) -> None:
        """All test triples rank the same rows."""
