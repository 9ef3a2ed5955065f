"""Statistics of studies: rank correlations, noise ceilings, areas under curves, and seeded bootstrap intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import stats

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it as in tables."""
        return f"{self.value:.3f} [{self.low:.2f}, {self.high:.2f}]"


def rank_correlations(first: Float[ndarray, "test model"], second: Float[ndarray, "test model"]) -> ndarray:
    """Give Spearman's correlation of each test triple over the models; 0 where one side is constant."""
    ranks = [stats.rankdata(values, axis=1) for values in (first, second)]
    return correlations(*ranks)


def correlations(first: Float[ndarray, "test model"], second: Float[ndarray, "test model"]) -> ndarray:
    """Give Pearson's correlation of each test triple over the models; 0 where one side is constant."""
    centred = [values - values.mean(axis=1, keepdims=True) for values in (first, second)]
    norms = [np.sqrt((values**2).sum(axis=1)) for values in centred]
    product, scale = (centred[0] * centred[1]).sum(axis=1), norms[0] * norms[1]
    found: ndarray = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
    return found


def datamodeling_score(
    sums: Float[ndarray, "test model"], worth: Float[ndarray, "test model"], *, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """Give the mean over test triples of the rank correlation over subsets (LDS).

    The interval is that of a bootstrap over test triples and subsets at once: both could have been others.
    """
    value = float(rank_correlations(sums, worth).mean())
    generator = np.random.default_rng(seed)
    num_tests, num_models = sums.shape
    drawn = []
    for _ in range(resamples):
        tests = generator.integers(num_tests, size=(num_tests, 1))
        models = generator.integers(num_models, size=(1, num_models))
        drawn.append(rank_correlations(sums[tests, models], worth[tests, models]).mean())
    return _between(value, np.array(drawn))


def noise_ceiling(
    means: Float[ndarray, "test subset"],
    repeated: Float[ndarray, "test repeat subset"],
    *,
    averaged: int = 1,
    models: int = 1,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Give the rank correlation that a perfect prediction of each subset would have with means of `models` trainings.

    `means` are of `averaged` trainings each. Repeated trainings of the same subsets (NaN where a subset has fewer) give
    the noise of a training alone, and that of a mean is so many times smaller. The root of the subsets' share of the
    variance, a mean over test triples, is Pearson's correlation ρ, from which Spearman's over S subsets follows as for
    normal variables: 6/(π(S + 1)) · (arcsin ρ + (S − 2) arcsin(ρ/2)) (Moran 1948). Test triples whose shares differ
    much have a lower ceiling. The interval is that of a bootstrap over test triples alone.
    """
    number = means.shape[1]
    noise, total = _noise(repeated) / averaged, means.var(axis=1, ddof=1)
    share = np.divide(noise, total, out=np.ones_like(noise), where=total > 0)
    if number > 3:  # the mean of 1/s² of normal variables is (S - 1)/(S - 3) times 1/σ², infinite at 3
        share = np.where(total > 0, share * (number - 3) / (number - 1), share)
    ceiling = partial(_ceiling, ratio=averaged / models, number=number)
    return over_axes(share, ceiling, axes=(0,), seed=seed, resamples=resamples)


def _noise(repeated: Float[ndarray, "test repeat subset"]) -> Float[ndarray, " test"]:
    """Give the variance of trainings of the same subset, pooled over the subsets."""
    from_mean = repeated - np.nanmean(repeated, axis=1, keepdims=True)
    freedom = (~np.isnan(repeated)).sum(axis=(1, 2)) - repeated.shape[2]
    noise: ndarray = np.nansum(from_mean**2, axis=(1, 2)) / freedom
    return noise


def _ceiling(shares_of_noise: Float[ndarray, " test"], *, ratio: float, number: int) -> float:
    """Give the ceiling over a number of subsets of means with `ratio` times the noise."""
    share = np.clip(shares_of_noise.mean(), 0, 1)
    correlation = np.sqrt((1 - share) / (1 - share + ratio * share))
    angles = np.arcsin(correlation) + (number - 2) * np.arcsin(correlation / 2)
    return float(6 / (np.pi * (number + 1)) * angles)


def mean_with_interval(values: Float[ndarray, " _"], *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Give the mean with a percentile bootstrap interval."""
    return over_axes(values, np.mean, axes=(0,), seed=seed, resamples=resamples)


def over_axes(
    values: Float[ndarray, "..."],
    statistic: Callable[[ndarray], float],
    *,
    axes: Sequence[int],
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Give a statistic of an array, with an interval by drawing places of these axes again, each by itself."""
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        sample = values
        for axis in axes:
            places = generator.integers(values.shape[axis], size=values.shape[axis])
            sample = np.take(sample, places, axis=axis)
        drawn.append(float(statistic(sample)))
    return _between(float(statistic(values)), np.array(drawn))


def area_under_curve(scores: Float[ndarray, " row"], is_wrong: Bool[ndarray, " row"]) -> float:
    """Give the chance that a wrong triple has a larger score than a right one; ties count half."""
    wrong, right = scores[is_wrong], scores[~is_wrong]
    return float(stats.mannwhitneyu(wrong, right).statistic / (len(wrong) * len(right)))


def precision_at(scores: Float[ndarray, " row"], is_wrong: Bool[ndarray, " row"], number: int) -> float:
    """Give the share of wrong triples among those of the largest scores; of equal ones the first."""
    best = np.argsort(-scores, kind="stable")[:number]
    return float(is_wrong[best].mean())


def of_rows(
    samples: Sequence[tuple[Float[ndarray, " _"], Bool[ndarray, " _"]]],
    statistic: Callable[[ndarray, ndarray], float],
    *,
    seed: int,
    resamples: int = 200,
) -> Estimate:
    """Give the mean of a statistic over samples of rows: scores, and which rows are wrong.

    The interval is that of drawing the wrong and the right rows of every sample again.
    """
    generator = np.random.default_rng(seed)
    drawn = [np.mean([statistic(*_redrawn(*sample, generator)) for sample in samples]) for _ in range(resamples)]
    return _between(float(np.mean([statistic(*sample) for sample in samples])), np.array(drawn))


def _redrawn(scores: ndarray, is_wrong: ndarray, generator: np.random.Generator) -> tuple[ndarray, ndarray]:
    rows = np.concatenate(
        [generator.choice(side, size=len(side)) for side in map(np.flatnonzero, (is_wrong, ~is_wrong))]
    )
    return scores[rows], is_wrong[rows]


def overlaps(
    lists: Sequence[Sequence[ndarray]], pairs: Sequence[tuple[int, int]], size: int
) -> Float[ndarray, " test"]:
    """Give the mean share, over pairs of lists, of the `size` entries of each test triple that both have."""
    shares = [
        [len(np.intersect1d(first, second)) / size for first, second in zip(lists[one], lists[other], strict=True)]
        for one, other in pairs
    ]
    found: ndarray = np.array(shares).mean(axis=0)
    return found


def _between(value: float, drawn: Float[ndarray, " resample"]) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]).tolist()
    return Estimate(value=value, low=low, high=high)
