"""The strongest proponents of each test triple by a method, among the training triples that may be chosen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.masks.touching import Touching, TouchingMask
from tracin_dask.validation.influences import Influences, largest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Touched:
    """Influences of training triples that touch the test triple; all others have none."""

    influences: Influences
    triples: Int[ndarray, "row 3"]
    tests: Int[ndarray, "test 3"]
    touching: Touching

    def read(self, start: int, stop: int) -> Float[ndarray, "test row"]:
        """Give the influences of some rows, −∞ for those that do not touch."""
        found: ndarray = np.where(self._is_touching(start, stop), self.influences.read(start, stop), -np.inf)
        return found

    def _is_touching(self, start: int, stop: int) -> Bool[ndarray, "test row"]:
        triples, targets = self.triples[start:stop].astype(np.int64), Targets(triples=self.tests)
        found: ndarray = TouchingMask(touching=self.touching).pairs(triples, np.arange(start, stop), targets)
        return found.T


def proponents(
    influences: Influences,
    triples: Int[ndarray, "row 3"],
    tests: Int[ndarray, "test 3"],
    *,
    top_k: int,
    touching: Touching | None = None,
) -> list[ndarray]:
    """Give the rows of the strongest proponents of each test triple, fewer where fewer have a positive influence."""
    if touching is not None:
        influences = Touched(influences=influences, triples=triples, tests=tests, touching=touching)
    rows, values = largest(influences, len(triples), len(tests), top_k)
    return [found[value > 0] for found, value in zip(rows, values, strict=True)]
