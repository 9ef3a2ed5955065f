"""Compares the influences of known training triples with those of the others: ranks, tests of scipy, effect sizes."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import stats

INFLUENCE, SIZE = "influence", "size"
KINDS = {INFLUENCE: "influences", SIZE: "|influences|"}
LEAST = 2
"""Training triples that each side needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Known training triples against the others; None where a side has fewer than two."""

    num_true: int
    num_others: int
    mean_rank_true: float | None = None
    """Mean rank in the order of the influences (or of their sizes), 1 for the largest; ties share their mean."""
    mean_rank_others: float | None = None
    u: float | None = None
    """Mann-Whitney U: the pairs in which the known triple is larger; ties count half."""
    u_p: float | None = None
    ks: float | None = None
    """Kolmogorov-Smirnov: the largest difference of the two distribution functions."""
    ks_p: float | None = None

    @property
    def area(self) -> float | None:
        """The chance that a known triple has the larger value: U over the number of pairs."""
        return None if self.u is None else self.u / (self.num_true * self.num_others)

    @property
    def cliffs_delta(self) -> float | None:
        """2·U/(n₁·n₂) - 1: from -1 to 1, 0 where neither side is larger."""
        return None if self.area is None else 2 * self.area - 1

    @property
    def not_defined(self) -> str | None:
        """Why there are no numbers, if there are none."""
        if self.num_true < LEAST:
            return "fewer than 2 true triples"
        return "fewer than 2 other triples" if self.num_others < LEAST else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """How many of all ranked training triples have a larger value than each known one, and an equal one."""

    larger: Int[ndarray, " true"]
    equal: Int[ndarray, " true"]
    """Itself included."""
    earlier: Int[ndarray, " true"]
    """Equal ones on an earlier line of the training file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """What was counted of all influences on one test triple."""

    influence: Float[ndarray, " true"]
    sides: Mapping[str, Side]
    """By influence and by its size."""
    num_ranked: int
    num_zeros: int
    """Influences that are exactly 0: the ties that matter."""

    def ranks(self, order: str) -> Int[ndarray, " true"]:
        """Give the exact ranks; of equal influences the earlier line comes first."""
        side = self.sides[SIZE if order == "absolute" else INFLUENCE]
        ahead = self.num_ranked - side.larger - side.equal if order == "opponents" else side.larger
        ranks: Int[ndarray, " true"] = ahead + side.earlier + 1
        return ranks

    def area(self, order: str) -> float | None:
        """Give the area under the ROC curve in this order; ties count half."""
        area = _area(self.sides[SIZE if order == "absolute" else INFLUENCE], self.num_ranked)
        return None if area is None else 1 - area if order == "opponents" else area

    def take(self, chosen: Bool[ndarray, " true"]) -> "Counts":
        """Keep some of the known triples; the others count among all."""
        sides = {
            kind: Side(larger=side.larger[chosen], equal=side.equal[chosen], earlier=side.earlier[chosen])
            for kind, side in self.sides.items()
        }
        return Counts(
            influence=self.influence[chosen], sides=sides, num_ranked=self.num_ranked, num_zeros=self.num_zeros
        )


def compare_values(influence: Float[ndarray, " entry"], is_true: Bool[ndarray, " entry"]) -> dict[str, Comparison]:
    """Compare in a list, by influences and by their sizes."""
    values = {INFLUENCE: influence, SIZE: np.abs(influence)}
    return {kind: _compare(numbers[is_true], numbers[~is_true]) for kind, numbers in values.items()}


def _compare(true: Float[ndarray, " true"], others: Float[ndarray, " other"]) -> Comparison:
    if min(len(true), len(others)) < LEAST:
        return Comparison(num_true=len(true), num_others=len(others))
    ranks = stats.rankdata(-np.concatenate([true, others]))
    whitney = stats.mannwhitneyu(true, others)
    with warnings.catch_warnings():  # scipy warns where it turns to the asymptotic distribution
        warnings.simplefilter("ignore", RuntimeWarning)
        smirnov = stats.ks_2samp(true, others)
    return Comparison(
        num_true=len(true),
        num_others=len(others),
        mean_rank_true=float(ranks[: len(true)].mean()),
        mean_rank_others=float(ranks[len(true) :].mean()),
        u=float(whitney.statistic),
        u_p=float(whitney.pvalue),
        ks=float(smirnov.statistic),
        ks_p=float(smirnov.pvalue),
    )


def compare_counts(counts: Counts) -> dict[str, Comparison]:
    """Compare with all other ranked training triples, without their influences: counts say all of it.

    The p-values are those of the normal approximation of U, corrected for the ties at 0, and of the asymptotic
    distribution of the Kolmogorov-Smirnov statistic.
    """
    return {kind: _from_counts(counts, kind) for kind in KINDS}


def _from_counts(counts: Counts, kind: str) -> Comparison:
    side, number = counts.sides[kind], counts.num_ranked
    num_true = len(counts.influence)
    others = number - num_true
    if min(num_true, others) < LEAST:
        return Comparison(num_true=num_true, num_others=others)
    midranks = side.larger + (side.equal + 1) / 2
    area = _area(side, number)
    assert area is not None  # noqa: S101 - both sides have triples
    u, total = area * num_true * others, number * (number + 1) / 2
    distance = _distance(side, number)
    effective = num_true * others / number
    return Comparison(
        num_true=num_true,
        num_others=others,
        mean_rank_true=float(midranks.mean()),
        mean_rank_others=float((total - midranks.sum()) / others),
        u=u,
        u_p=_whitney_p(u, num_true, others, counts.num_zeros),
        ks=distance,
        ks_p=float(np.clip(stats.kstwo.sf(distance, max(1, round(effective))), 0, 1)),
    )


def _area(side: Side, num_ranked: int) -> float | None:
    """Give U over the number of pairs, from the mean ranks of ties: 1 for the largest."""
    num_true = len(side.larger)
    others = num_ranked - num_true
    if num_true == 0 or others == 0:
        return None
    midranks = side.larger + (side.equal + 1) / 2
    larger = num_true * (num_ranked + 1) - midranks.sum() - num_true * (num_true + 1) / 2
    return float(larger / (num_true * others))


def _whitney_p(u: float, num_true: int, others: int, num_tied: int) -> float:
    """Give the two-sided p-value of U by its normal approximation, as scipy does."""
    number, pairs = num_true + others, num_true * others
    ties = (float(num_tied) ** 3 - num_tied) / (number * (number - 1.0))
    deviation = np.sqrt(pairs / 12 * (number + 1 - ties))
    if deviation == 0:
        return 1.0
    excess = abs(u - pairs / 2) - 0.5
    return float(np.clip(2 * stats.norm.sf(excess / deviation), 0, 1))


def _distance(side: Side, num_ranked: int) -> float:
    """Give the largest difference of the distribution functions; it lies at a value of a known triple."""
    larger = np.sort(side.larger)
    at_least = np.sort(side.larger + side.equal)
    num_true = len(larger)
    others = num_ranked - num_true
    # known triples with a larger value than each known one, and with one at least as large
    true_larger = np.searchsorted(larger, larger, side="left")
    true_at_least = np.searchsorted(larger, larger, side="right")
    above = (larger - true_larger) / others - true_larger / num_true
    below = (at_least - true_at_least) / others - true_at_least / num_true
    return float(max(np.abs(above).max(), np.abs(below).max()))
