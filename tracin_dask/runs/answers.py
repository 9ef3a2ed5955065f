"""Which test triples are explained together: all of them, or groups of them, each as one mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError

ALL = "all"
"""The name of the only set, where all test triples are explained together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSets:
    """Sets of test triples, each of which is one answer: influences on the mean loss (or score) of its members."""

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


def test_sets(together: bool | Sequence[str], num_tests: int | None) -> TestSets | None:  # noqa: FBT001 - a choice of the options
    """Put test triples together as the options say; None where each is explained by itself.

    Raises
    ------
    ConfigError
        If there are no test triples, or not one name for each.
    """
    if together is False:
        return None
    if num_tests is None:
        raise ConfigError("together is about test triples, and mode 'self' has none; leave it out")
    if together is True:
        return TestSets(names=(ALL,), of_test=np.zeros(num_tests, dtype=np.int64))
    if len(together) != num_tests:
        raise ConfigError(
            f"together names the sets of {len(together)} test triples, and there are {num_tests} of them; "
            "give one name for each"
        )
    names = tuple(dict.fromkeys(together))
    number = {name: place for place, name in enumerate(names)}
    return TestSets(names=names, of_test=np.array([number[name] for name in together], dtype=np.int64))
