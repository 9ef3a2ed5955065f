"""Sets of test triples that are explained together, each in one answer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.report.equal import EqualByParts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TestSets(EqualByParts):
    """Sets of test triples: influences are on the mean loss (or score) of the members of each."""

    __test__ = False  # no test class of pytest's

    names: tuple[str, ...]
    of_test: Int[ndarray, " test"]
    """The set of each test triple, numbered as the names."""

    def __len__(self) -> int:
        """Count the sets."""
        return len(self.names)

    def members(self, number: int) -> Int[ndarray, " member"]:
        """Give the test triples of a set, as their places in the list of all."""
        return np.flatnonzero(self.of_test == number)
