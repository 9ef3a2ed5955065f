"""Permutation tests: how often known training triples at random places of a ranking would rank as well."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

STATISTIC = (
    "average precision over the known training triples that the ranking holds; under the null hypothesis they stand at "
    "random places of the ranking; p = (1 + permutations with at least this value) / (1 + permutations)"
)
_STEP = 2**21
"""Places that are drawn at a time."""
_SPARSE = 4
"""Places of a ranking per known triple from which on drawing again what was drawn twice is faster than shuffling."""
_MOST_KEPT = 512
"""Sizes whose draws are kept; others are drawn again, the same."""
_EQUAL = 1e-12
"""Rounding must not make two equal values of the statistic different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """What a ranking adds to the sum over many."""

    average_precision: float
    """Over the known triples that the ranking holds."""
    weight: float
    num_ranked: int
    num_true: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Permutations:
    """Draws of the statistic: they depend on the two sizes alone, so rankings of equal sizes share them."""

    number: int
    seed: int
    _drawn: dict[tuple[int, int], Float[ndarray, " draw"]] = field(default_factory=dict, repr=False)

    def draws(self, num_ranked: int, num_true: int) -> Float[ndarray, " draw"]:
        """Give the average precision of known triples at random places."""
        key = (num_ranked, num_true)
        if key not in self._drawn:
            if len(self._drawn) >= _MOST_KEPT:
                self._drawn.pop(next(iter(self._drawn)))
            generator = np.random.default_rng([self.seed, *key])
            step = max(1, _STEP // (num_true if _is_sparse(*key) else num_ranked))
            counts = [min(step, self.number - start) for start in range(0, self.number, step)]
            parts = [_average_precisions(random_ranks(generator, count, *key)) for count in counts]
            self._drawn[key] = np.concatenate(parts)
        return self._drawn[key]

    def p_value(self, ranks: Int[ndarray, " true"], num_ranked: int) -> float | None:
        """Test one ranking; None where there is nothing to permute."""
        if self.number == 0 or not 0 < len(ranks) < num_ranked:
            return None
        return self._share(average_precision(ranks), self.draws(num_ranked, len(ranks)))

    def overall(self, rankings: Sequence[Weighted]) -> float | None:
        """Test the weighted sum of the average precisions of many rankings, each permuted by itself.

        Every ranking takes the draws of its sizes in an order of its own.
        """
        if self.number == 0 or not any(0 < one.num_true < one.num_ranked for one in rankings):
            return None
        observed = sum(one.weight * one.average_precision for one in rankings)
        drawn = np.zeros(self.number)
        generator = np.random.default_rng([self.seed, len(rankings)])
        for one in rankings:
            if one.num_true:
                drawn += one.weight * generator.permutation(self.draws(one.num_ranked, one.num_true))
        return self._share(observed, drawn)

    def _share(self, observed: float, drawn: Float[ndarray, " draw"]) -> float:
        return float((1 + (drawn >= observed * (1 - _EQUAL)).sum()) / (1 + self.number))


def average_precision(ranks: Int[ndarray, " true"]) -> float:
    """Give the mean over known triples of the precision at their ranks, which ascend."""
    return float(_average_precisions(ranks[None])[0])


def _average_precisions(ranks: Int[ndarray, "draw true"]) -> Float[ndarray, " draw"]:
    precision = np.arange(1, ranks.shape[1] + 1) / ranks
    means: Float[ndarray, " draw"] = precision.mean(axis=1)
    return means


def random_ranks(
    generator: np.random.Generator, count: int, num_ranked: int, num_true: int
) -> Int[ndarray, "draw true"]:
    """Draw different places of a ranking, each set of them as probable as any other; they ascend."""
    if not _is_sparse(num_ranked, num_true):
        places = np.tile(np.arange(1, num_ranked + 1), (count, 1))
        return np.sort(generator.permuted(places, axis=1)[:, :num_true], axis=1)
    ranks = np.sort(generator.integers(1, num_ranked + 1, size=(count, num_true)), axis=1)
    open_rows = np.arange(count)
    while len(open_rows):
        part = ranks[open_rows]
        row, column = np.nonzero(part[:, 1:] == part[:, :-1])
        part[row, column] = generator.integers(1, num_ranked + 1, size=len(row))
        open_rows = open_rows[np.unique(row)]
        ranks[open_rows] = np.sort(part[np.unique(row)], axis=1)
    return ranks


def _is_sparse(num_ranked: int, num_true: int) -> bool:
    return num_ranked >= _SPARSE * num_true
