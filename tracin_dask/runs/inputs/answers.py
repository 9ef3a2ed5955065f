"""Which test triples are explained together: all of them, or groups of them, each as one mean."""

from collections.abc import Sequence

import numpy as np

from tracin_dask.errors import ConfigError
from tracin_dask.report.sets import TestSets

ALL = "all"
"""The name of the only set, where all test triples are explained together."""


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
