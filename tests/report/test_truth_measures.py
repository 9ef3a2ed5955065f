"""Measures and tests equal those of slow plain Python, and those of scipy."""

import io
import itertools
import math
import time

import numpy as np
import pytest
from made_results import ranked
from made_truth import COLUMNS, DISEASE, DRUG, INFLUENCES, TRUTH, hand_made
from rich.console import Console
from scipy import stats

from tracin_dask.report.ranks import ListedRanks
from tracin_dask.report.truth.columns import known_of
from tracin_dask.report.truth.comparisons import compare_values
from tracin_dask.report.truth.evaluation import InGraph, Settings, evaluate
from tracin_dask.report.truth.means import mean_of
from tracin_dask.report.truth.permutations import Permutations, random_ranks
from tracin_dask.report.truth.places import in_list
from tracin_dask.report.truth.screen import evaluation_tables
from tracin_dask.report.truth.values import Truth


def evaluated(result, truth=TRUTH, **options):
    known = known_of(result, truth)
    settings = Settings(permutations=options.pop("permutations", 200), order=options.pop("order", None))
    return evaluate(result, known, columns=options.pop("columns", truth.columns), settings=settings, **options)


def row_of(found, column, ranking="list"):
    (row,) = [row for row in found.rows if (row.column, row.ranking) == (column, ranking)]
    return row


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("order", ["absolute", "signed"])
def test_measures_of_a_list_equal_those_by_hand(column, order):
    row = row_of(evaluated(hand_made(), order=order), column)
    ahead = sorted(range(7), key=lambda place: -(abs(INFLUENCES[place]) if order == "absolute" else INFLUENCES[place]))
    ranks = [rank for rank, place in enumerate(ahead, start=1) if place in COLUMNS[column]]
    precisions = [number / rank for number, rank in enumerate(ranks, start=1)]
    assert row.num_true == len(ranks)
    assert row.numbers["first_rank"] == ranks[0]
    assert row.numbers["reciprocal_rank"] == pytest.approx(1 / ranks[0])
    assert row.numbers["average_precision"] == pytest.approx(sum(precisions) / len(precisions))
    assert [row.numbers[f"hits_at_{k}"] for k in (1, 3, 7)] == [float(ranks[0] <= k) for k in (1, 3, 7)]
    assert row.numbers["auc"] is None
    assert "cut off" in row.not_defined["auc"]
    assert row.numbers["coverage"] is None


def test_known_triples_beyond_the_list_count_as_not_found():
    graph = InGraph(num_known=dict.fromkeys(COLUMNS, 10))
    row = row_of(evaluated(hand_made(), in_graph=[graph]), "in_path")
    assert row.numbers["coverage"] == 0.5
    assert row.numbers["average_precision"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4 + 4 / 5 + 5 / 7) / 10)


def test_a_test_triple_of_which_nothing_is_known_is_left_out_of_means():
    result = hand_made(tests=((DRUG, 0, DISEASE), (2, 0, 3)))
    found = evaluated(result, columns=["in_path", "is_ground_truth"])
    overall = {one.column: one for one in found.overall}
    assert (overall["in_path"].num_with_truth, overall["in_path"].num_tests) == (1, 2)
    assert overall["in_path"].means["reciprocal_rank"].value == 0.5
    assert overall["in_path"].means["reciprocal_rank"].not_defined == "no interval: fewer than 2 test triples"
    assert overall["is_ground_truth"].num_with_truth == 2
    assert found.rows[2].not_defined["average_precision"] == "no known training triple"


def test_a_list_without_a_known_triple_counts_as_zero():
    result = hand_made(entries=[(5, 0, 3)] * 3, influences=[3.0, 2.0, 1.0])
    row = row_of(evaluated(result, columns=["in_path"]), "in_path")
    assert (row.numbers["reciprocal_rank"], row.numbers["average_precision"], row.numbers["first_rank"]) == (0, 0, None)
    assert row.not_defined["u_influence"] == "fewer than 2 true triples"


@pytest.mark.parametrize("order", ["absolute", "signed"])
def test_auc_of_a_whole_list_is_the_u_of_scipy_over_the_pairs(order):
    run = dict(hand_made().run) | {"num_training_triples": 7}
    row = row_of(evaluated(hand_made(run=run), order=order), "in_path")
    values = np.abs(INFLUENCES) if order == "absolute" else np.array(INFLUENCES)
    is_true = np.isin(np.arange(7), COLUMNS["in_path"])
    u = stats.mannwhitneyu(values[is_true], values[~is_true]).statistic
    assert row.numbers["auc"] == u / (5 * 2)
    pairs = [(a > b) + (a == b) / 2 for a in values[is_true] for b in values[~is_true]]
    assert row.numbers["auc"] == pytest.approx(sum(pairs) / len(pairs))


def test_comparisons_are_those_of_scipy():
    generator = np.random.default_rng(2)
    values, is_true = generator.normal(size=40).round(1), generator.random(40) < 0.3
    found = compare_values(values, is_true)
    for kind, numbers in (("influence", values), ("size", np.abs(values))):
        true, others = numbers[is_true], numbers[~is_true]
        whitney, smirnov = stats.mannwhitneyu(true, others), stats.ks_2samp(true, others)
        assert (found[kind].u, found[kind].u_p) == (whitney.statistic, whitney.pvalue)
        assert (found[kind].ks, found[kind].ks_p) == (smirnov.statistic, smirnov.pvalue)
        delta = np.sign(true[:, None] - others).mean()
        assert found[kind].cliffs_delta == pytest.approx(delta)
        ranks = stats.rankdata(-numbers)
        assert found[kind].mean_rank_true == ranks[is_true].mean()
        assert found[kind].mean_rank_others == ranks[~is_true].mean()


def test_fewer_than_two_known_triples_give_no_test():
    found = compare_values(np.array([1.0, 2.0, 3.0]), np.array([True, False, False]))["influence"]
    assert (found.u, found.cliffs_delta, found.not_defined) == (None, None, "fewer than 2 true triples")
    found = compare_values(np.array([1.0, 2.0, 3.0]), np.array([True, True, False]))["influence"]
    assert found.not_defined == "fewer than 2 other triples"


def slow_p_value(ranks, num_ranked):
    """Try all placements of the known triples."""

    def precision(places):
        return sum(number / place for number, place in enumerate(places, start=1)) / len(places)

    all_places = list(itertools.combinations(range(1, num_ranked + 1), len(ranks)))
    return sum(precision(places) >= precision(ranks) - 1e-12 for places in all_places) / len(all_places)


@pytest.mark.parametrize(
    ("ranks", "num_ranked"), [([1, 3], 9), ([2, 3, 8], 9), ([1, 2, 4, 5], 8), ([4], 30), ([2, 9], 20)]
)
def test_permutation_p_is_the_share_of_all_placements(ranks, num_ranked):
    found = Permutations(number=20_000, seed=3).p_value(np.array(ranks), num_ranked)
    expected = slow_p_value(ranks, num_ranked)
    assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 20_000) + 1e-4)


def test_permutation_p_is_never_zero_and_follows_its_seed():
    found = [Permutations(number=999, seed=seed).p_value(np.arange(1, 6), 10_000) for seed in (1, 1)]
    assert found == [1 / 1000] * 2
    drawn = [Permutations(number=99, seed=seed).draws(50, 3).tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert Permutations(number=99, seed=1).p_value(np.arange(1, 4), 3) is None
    assert Permutations(number=0, seed=1).p_value(np.array([1]), 3) is None


@pytest.mark.parametrize(("num_ranked", "num_true"), [(6, 2), (16, 2), (8, 2)])
def test_random_ranks_are_different_and_all_sets_are_as_probable(num_ranked, num_true):
    drawn = random_ranks(np.random.default_rng(0), 30_000, num_ranked, num_true)
    assert (np.diff(drawn, axis=1) > 0).all()
    assert (drawn.min(), drawn.max()) == (1, num_ranked)
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == math.comb(num_ranked, num_true)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_overall_p_is_that_of_the_mean_over_test_triples():
    """Three lists of four entries with one known triple first: the mean is reached by 1 of 4³ placements."""
    result = hand_made(
        entries=[(0, 3, 4), (5, 0, 4), (5, 0, 2), (5, 0, 3)], influences=[4.0, 3, 2, 1], tests=((DRUG, 0, DISEASE),) * 3
    )
    (overall,) = evaluated(result, Truth(paths=TRUTH.paths), columns=["in_path"], permutations=20_000).overall
    assert overall.permutation_p == pytest.approx(1 / 64, abs=0.004)
    assert overall.significant["permutation_p"] == (0, 3)


def test_exact_ranks_give_the_area_and_leave_out_what_was_not_ranked():
    result = hand_made()
    listed = ListedRanks(
        triples=result.rankings[0].triples,
        train_index=np.arange(7),
        influence=result.rankings[0].influence[None],
        rank=np.array([[1, 2, 30, 4, 0, 6, 100]]),
        num_ranked=np.array([100]),
    )
    found = evaluated(hand_made(ranks=listed), columns=["in_path"])
    row = row_of(found, "in_path", "rank_of")
    assert (row.num_true, row.num_known, row.num_ranked) == (4, 5, 100)
    assert row.numbers["coverage"] == 0.8
    assert row.numbers["average_precision"] == pytest.approx((1 / 2 + 2 / 4 + 3 / 30 + 4 / 100) / 5)
    ranks = {2, 30, 4, 100}
    pairs = [a < b for a in ranks for b in range(1, 101) if b not in ranks]
    assert row.numbers["auc"] == pytest.approx(sum(pairs) / len(pairs))
    assert all(row.ranking == "list" for row in evaluated(hand_made(ranks=listed), order="signed").rows)


def test_intervals_hold_the_mean_and_follow_the_seed():
    values = np.random.default_rng(0).normal(size=200)
    first, again, other = (mean_of(values, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    error = values.std() / math.sqrt(200)
    assert first.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert first.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)
    assert mean_of(np.empty(0), seed=0).not_defined == "defined for no test triple"


def test_seventy_five_lists_of_a_hundred_take_ten_thousand_permutations_in_seconds():
    generator, start = np.random.default_rng(0), time.process_time()
    permutations = Permutations(number=10_000, seed=0)
    for _ in range(75):
        is_true = generator.random(100) < 0.05
        found = in_list(ranked(generator.normal(size=100).tolist()), is_true, order="absolute")
        permutations.p_value(found.ranks, 100)
    assert time.process_time() - start < 5


def test_tables_fit_eighty_columns_and_say_what_is_not_defined():
    result = hand_made(tests=((DRUG, 0, DISEASE), (5, 0, DISEASE)))
    console = Console(width=80, record=True, file=io.StringIO())
    for part in evaluation_tables(evaluated(result)):
        console.print(part)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("test triples with truth") == 5
    assert "not defined" in text
    assert "either direction" in text
