"""The score of a path, from the influences of its training triples."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from tracin_dask.report.paths.options import Measure


def scores(influences: Float[ndarray, "path hop"], measure: Measure) -> Float[ndarray, " path"]:
    """Score paths of equally many hops; NaN where the measure is not defined."""
    return _MEASURES[measure](influences)


def _geometric(influences: Float[ndarray, "path hop"]) -> Float[ndarray, " path"]:
    return _of_proponents(lambda positive: np.exp(np.log(positive).mean(axis=1)), influences)


def _harmonic(influences: Float[ndarray, "path hop"]) -> Float[ndarray, " path"]:
    return _of_proponents(_harmonic_mean, influences)


def _harmonic_mean(positive: Float[ndarray, "path hop"]) -> Float[ndarray, " path"]:
    """Divide by the smallest first: the reciprocals of tiny numbers are not finite."""
    least = positive.min(axis=1)
    found: Float[ndarray, " path"] = least / (least[:, None] / positive).mean(axis=1)
    return found


def _of_proponents(mean: Callable[[ndarray], ndarray], influences: ndarray) -> Float[ndarray, " path"]:
    """Take the mean of paths that have no other influences than positive ones; NaN for others."""
    is_positive = np.all(influences > 0, axis=1, keepdims=True)
    return np.where(is_positive[:, 0], mean(np.where(is_positive, influences, 1.0)), np.nan)


_MEASURES: dict[Measure, Callable[[ndarray], ndarray]] = {
    "mean": lambda influences: influences.mean(axis=1),
    "sum": lambda influences: influences.sum(axis=1),
    "min": lambda influences: influences.min(axis=1),
    "geometric": _geometric,
    "harmonic": _harmonic,
}
