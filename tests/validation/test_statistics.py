"""The statistics of studies agree with scipy, with numbers made by hand, and with known distributions."""

import numpy as np
import pytest
from scipy import stats

from tracin_dask.validation.statistics import (
    area_under_curve,
    datamodeling_score,
    mean_with_interval,
    noise_ceiling,
    of_rows,
    over_axes,
    overlaps,
    precision_at,
    rank_correlations,
)


@pytest.fixture
def generator():
    return np.random.default_rng(3)


def test_rank_correlations_equal_those_of_scipy_with_ties(generator):
    first, second = generator.integers(5, size=(2, 6, 20)).astype(float)
    expected = [stats.spearmanr(one, other).statistic for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlations(first, second), expected, atol=1e-12)


def test_rank_correlation_with_a_constant_is_zero(generator):
    assert rank_correlations(np.ones((1, 9)), generator.normal(size=(1, 9))).tolist() == [0.0]


def test_datamodeling_score_of_a_monotone_prediction_is_one_with_a_narrow_interval(generator):
    worth = generator.normal(size=(4, 30))
    found = datamodeling_score(np.exp(worth), worth, seed=1, resamples=50)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_interval_of_an_unrelated_prediction_contains_zero_and_follows_from_the_seed(generator):
    sums, worth = generator.normal(size=(2, 20, 30))
    found = datamodeling_score(sums, worth, seed=1, resamples=100)
    assert found.low < 0 < found.high
    assert found == datamodeling_score(sums, worth, seed=1, resamples=100)
    assert found != datamodeling_score(sums, worth, seed=2, resamples=100)


def test_intervals_of_datamodeling_scores_hold_the_true_value_as_often_as_they_say():
    true, inside = 6 / np.pi * np.arcsin(0.6 / 2), 0  # Spearman's of normal variables with correlation 0.6
    for seed in range(40):
        generator = np.random.default_rng(seed)
        worth, noise = generator.normal(size=(2, 12, 40))
        found = datamodeling_score(0.6 * worth + 0.8 * noise, worth, seed=seed, resamples=100)
        inside += found.low <= true <= found.high
    assert inside >= 36


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_noise_ceiling_equals_the_score_of_a_perfect_prediction(noise):
    generator = np.random.default_rng(7)
    signal = generator.normal(size=(200, 100))
    single, again = (signal + noise * generator.normal(size=signal.shape) for _ in range(2))
    found = noise_ceiling(single, np.stack([single, again], axis=1), seed=1)
    assert found.value == pytest.approx(rank_correlations(signal, single).mean(), abs=0.02)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("models", [2, 5])
def test_noise_ceiling_of_means_equals_the_score_of_a_perfect_prediction_of_them(models):
    generator = np.random.default_rng(8)
    signal = generator.normal(size=(200, 100))
    repeated = signal[:, None] + generator.normal(size=(200, models, 100))
    means = repeated.mean(axis=1)
    found = noise_ceiling(means, repeated, averaged=models, models=models, seed=1)
    assert found.value == pytest.approx(rank_correlations(signal, means).mean(), abs=0.02)
    of_one = noise_ceiling(means, repeated, averaged=models, seed=1)
    assert of_one.value == pytest.approx(rank_correlations(signal, repeated[:, 0]).mean(), abs=0.02)


def test_noise_ceiling_without_noise_is_one_and_with_noise_alone_near_zero(generator):
    single, other = generator.normal(size=(2, 50, 80))
    assert noise_ceiling(single, np.stack([single, single], axis=1), seed=1).value == pytest.approx(1)
    assert noise_ceiling(single, np.stack([single, other], axis=1), seed=1).value < 0.25


@pytest.mark.parametrize("number", [3, 4, 80])
def test_models_that_always_say_the_same_have_no_ceiling(number):
    constant = np.zeros((5, number))
    assert noise_ceiling(constant, np.stack([constant, constant], axis=1), seed=1).value == 0


def test_three_subsets_of_noise_alone_have_a_low_ceiling(generator):
    single, other = generator.normal(size=(2, 50, 3))
    assert noise_ceiling(single, np.stack([single, other], axis=1), seed=1).value < 0.5


def test_interval_of_a_mean_agrees_with_the_normal_one(generator):
    values = generator.normal(size=400)
    found = mean_with_interval(values, seed=1)
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_interval_over_two_axes_is_wider_than_over_one_where_both_vary(generator):
    values = generator.normal(size=(5, 1)) + generator.normal(size=(1, 30)) / 5
    one, both = (over_axes(values, np.mean, axes=axes, seed=1) for axes in ((1,), (0, 1)))
    assert both.high - both.low > 2 * (one.high - one.low)


def test_area_under_curve_counts_ties_half():
    scores, is_wrong = np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False])
    assert area_under_curve(scores, is_wrong) == (1 + 1 + 0 + 0.5) / 4


def test_precision_is_the_share_of_wrong_rows_among_the_largest():
    scores, is_wrong = np.array([5.0, 4.0, 3.0, 2.0]), np.array([True, False, True, True])
    assert [precision_at(scores, is_wrong, number) for number in (1, 2, 3)] == [1.0, 0.5, pytest.approx(2 / 3)]


def test_statistic_of_several_samples_is_their_mean_with_an_interval_around_it(generator):
    is_wrong = np.arange(200) < 40
    samples = [(generator.normal(size=200) + is_wrong, is_wrong) for _ in range(3)]
    found = of_rows(samples, area_under_curve, seed=1)
    assert found.value == pytest.approx(np.mean([area_under_curve(*sample) for sample in samples]))
    assert found.low < found.value < found.high < found.low + 0.2


def test_overlap_is_the_share_of_common_entries_averaged_over_pairs():
    lists = [np.array([[1, 2], [3, 4]]), np.array([[2, 9], [4, 3]]), np.array([[7, 8], [3, 9]])]
    found = overlaps([list(one) for one in lists], [(0, 1), (0, 2)], 2)
    assert found.tolist() == [0.25, 0.75]
