"""A straight line through measured points, and how far they lie from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """y = intercept + slope · x."""

    intercept: float
    slope: float

    def at(self, x: float) -> float:
        """Give the line's height."""
        return self.intercept + self.slope * x

    def largest_deviation(self, x: Sequence[float], y: Sequence[float]) -> float:
        """Give the largest |y − line| relative to the line."""
        return max(abs(value - self.at(place)) / abs(self.at(place)) for place, value in zip(x, y, strict=True))


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Fit a line by least squares of the relative deviations, so that small and large x count alike.

    Raises
    ------
    ValueError
        If there are fewer than two different x, or a y that is not positive.
    """
    places, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(set(x)) < 2:
        raise ValueError(f"a line needs two different x, not {list(x)}")
    if (values <= 0).any():
        raise ValueError(f"relative deviations need positive y, not {list(y)}")
    columns = np.stack([1 / values, places / values], axis=1)
    (intercept, slope), *_ = np.linalg.lstsq(columns, np.ones(len(values)), rcond=None)
    return Line(intercept=float(intercept), slope=float(slope))
