"""Lists that are all about the same say so; lists about their own test triples do not."""

import itertools
import json

import numpy as np
import pytest
from made_results import made_result, ranked

from tracin_dask.report.result import RankedTriples
from tracin_dask.report.screen import specific
from tracin_dask.report.sets import TestSets
from tracin_dask.report.specificity import Specificity, specificity_of

TESTS = np.array([[0, 1, 2], [3, 0, 4], [5, 1, 6]])


def lists_of(*lines_and_triples: tuple[list[int], list[list[int]]]) -> tuple[RankedTriples, ...]:
    return tuple(
        RankedTriples(
            triples=np.array(triples).reshape(-1, 3),
            influence=np.linspace(1, -1, len(lines)),
            train_index=np.array(lines, dtype=np.int64),
        )
        for lines, triples in lines_and_triples
    )


def result_of(rankings, **more):
    return made_result(ranked([]), test_triples=TESTS[: len(rankings)], rankings=rankings, **more)


OWN = lists_of(([0, 1], [[0, 0, 9], [8, 1, 2]]), ([2, 3], [[9, 1, 4], [3, 0, 8]]))
SAME = lists_of(([0, 1], [[8, 0, 9], [9, 1, 8]]), ([1, 0], [[9, 1, 8], [8, 0, 9]]))


def test_lists_of_different_triples_that_touch_their_test_triples_are_specific():
    assert specificity_of(result_of(OWN)) == Specificity(
        lists=2, places=4, distinct=4, touching=1.0, shared=0.0, with_proponents=2, with_opponents=2, by_chance=0.01
    )
    (line,) = specific(result_of(OWN))
    assert line == (
        "the 2 lists hold 4 different training triples in 4 places; 100% of the places have an entity of their test "
        "triple; two lists share 0% of their places on average; 2 of the lists have opponents"
    )


def test_lists_of_the_same_triples_that_touch_nothing_are_warned_of():
    found = specificity_of(result_of(SAME))
    assert (found.distinct, found.places, found.touching, found.shared, found.is_low) == (2, 4, 0.0, 1.0, True)
    line, warning = specific(result_of(SAME, run={"rank_by": "proponents"}))
    assert "opponents" not in line
    assert warning.startswith("these lists are hardly about their own test triples: --preset retraining ranks")


def test_lists_of_most_of_the_training_triples_share_what_they_must():
    found = specificity_of(result_of(SAME, run={"num_training_triples": 2}))
    assert (found.shared, found.by_chance, found.is_low) == (1.0, 1.0, False)


def test_what_lists_share_is_the_average_over_pairs_of_the_part_of_the_shorter_one():
    lines = ([0, 1, 2], [1, 2], [2, 5, 6, 7])
    rankings = lists_of(*((some, [[8, 0, 9]] * len(some)) for some in lines))
    pairs = list(itertools.combinations(map(set, lines), 2))
    common = sum(len(one & other) for one, other in pairs)
    of = sum(min(len(one), len(other)) for one, other in pairs)
    assert specificity_of(result_of(rankings)).shared == pytest.approx(common / of)


def test_entities_of_a_set_and_of_a_contrast_count_as_touched():
    sets = TestSets(names=("a", "b"), of_test=np.array([0, 1, 0]))
    rankings = lists_of(([0, 1], [[5, 0, 9], [8, 0, 9]]), ([2], [[3, 0, 9]]))
    together = made_result(ranked([]), test_triples=TESTS, rankings=rankings, sets=sets)
    assert specificity_of(together).touching == pytest.approx(2 / 3)
    rankings = lists_of(([0], [[7, 0, 9]]), ([2], [[7, 0, 9]]))
    contrast = made_result(
        ranked([]),
        test_triples=TESTS[:2],
        rankings=rankings,
        contrast_tails=np.array([7, 8]),
        further=(ranked([]),) * 2,
    )
    assert specificity_of(contrast).touching == 0.5


@pytest.mark.parametrize("more", [{"rankings": OWN[:1]}, {"test_triples": None}, {"rankings": (OWN[0], ranked([]))}])
def test_nothing_is_said_of_fewer_than_two_lists(more):
    result = made_result(ranked([1.0]), **({"test_triples": TESTS[:2]} | more))
    assert specificity_of(result) is None
    assert specific(result) == []


def test_the_summary_of_a_folder_states_it(tmp_path):
    result_of(SAME, further=(ranked([]),) * 2).write_directory(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["specificity"] == {
        "lists": 2,
        "places": 4,
        "distinct": 2,
        "touching": 0.0,
        "shared": 1.0,
        "with_proponents": 2,
        "with_opponents": 2,
        "by_chance": 0.01,
        "is_low": True,
    }
