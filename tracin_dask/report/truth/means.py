"""Means of measures over test triples, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from tracin_dask.report.truth.measures import FEW, Row

CONFIDENCE = 0.95
RESAMPLES = 2000
METHOD = (
    "the 2.5 % and 97.5 % quantiles of the mean over test triples that are drawn again with replacement, "
    f"{RESAMPLES:,} times"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """The mean of a measure over the test triples where it is defined."""

    value: float | None
    low: float | None
    high: float | None
    num_tests: int
    not_defined: str | None = None
    """Why there is no mean or no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """All test triples in one ranking, for one column of truth."""

    column: str
    ranking: str
    num_tests: int
    num_with_truth: int
    num_true: int
    num_known: int | None
    num_ranked: tuple[int, int]
    """The shortest and the longest ranking."""
    means: dict[str, Mean]
    permutation_p: float | None
    """Of the sum of the average precisions, each ranking permuted by itself."""
    significant: dict[str, tuple[int, int]]
    """By test: test triples with p < 0.05, and those that have a p-value."""


def summarise(rows: Sequence[Row], *, seed: int, permutation_p: float | None) -> Overall:
    """Average the rows of one ranking and column."""
    used = [row for row in rows if row.has_truth]
    names = list(rows[0].numbers)
    known = [row.num_known for row in rows if row.num_known is not None]
    values = {name: [row.numbers[name] for row in used if row.numbers.get(name) is not None] for name in names}
    means = {name: mean_of(np.array(found, np.float64), seed=seed) for name, found in values.items()}
    tests = [name for name in names if name == "permutation_p" or "_p_" in name]
    return Overall(
        column=rows[0].column,
        ranking=rows[0].ranking,
        num_tests=len(rows),
        num_with_truth=len(used),
        num_true=sum(row.num_true for row in rows),
        num_known=sum(known) if len(known) == len(rows) else None,
        num_ranked=(min(row.num_ranked for row in rows), max(row.num_ranked for row in rows)),
        means=means,
        permutation_p=permutation_p,
        significant={name: (sum(p < 0.05 for p in values[name] if p is not None), len(values[name])) for name in tests},
    )


def mean_of(values: Float[ndarray, " test"], *, seed: int) -> Mean:
    """Give the mean with its interval."""
    if len(values) == 0:
        return Mean(value=None, low=None, high=None, num_tests=0, not_defined="defined for no test triple")
    value = float(values.mean())
    if len(values) == 1:
        return Mean(value=value, low=None, high=None, num_tests=1, not_defined=f"no interval: {FEW}")
    drawn = _resamples(len(values), seed) @ values / len(values)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Mean(value=value, low=low, high=high, num_tests=len(values))


@lru_cache(maxsize=4)
def _resamples(number: int, seed: int) -> Float[ndarray, "resample test"]:
    """Say how often each resample draws each test triple."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(number, np.full(number, 1 / number), size=RESAMPLES).astype(np.float64)
