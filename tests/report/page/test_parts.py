"""Every part of a result is on its page; what a result lacks leaves nothing behind."""

import re
from dataclasses import replace

import numpy as np
import pytest
from made_page import (
    INFLUENCES,
    RUN,
    checkpoints,
    full_result,
    made_predictions,
    read,
    two_answers,
)
from made_paths import triples_with
from made_results import made_result, ranked

from tracin_dask import write_pages
from tracin_dask.report.page.histogram import Histogram
from tracin_dask.report.sets import TestSets

ALL_PARTS = {
    "contrast",
    "drawing",
    "paths",
    "proponents",
    "opponents",
    "stability",
    "ranks",
    "sums",
    "histograms",
    "origin",
}


SIDES = {"proponents", "opponents"}


def page_of(result, folder, number=0, **more):
    return read(write_pages(result, folder, **more)[number])


def in_sets(**others):
    sets = TestSets(names=("liver", "heart"), of_test=np.array([1, 0]))
    return two_answers(sets=sets, **others)


def self_result():
    run = RUN | {"mode": "self", "preset": "tracin"}
    return replace(
        made_result(ranked([0.5, 0.25]), test_triples=None, run=run, rankings=(ranked([0.5, 0.25]),)), predictions=None
    )


def test_a_full_result_shows_every_part(tmp_path):
    page = page_of(full_result(), tmp_path)
    assert ALL_PARTS - set(page.ids) == set()
    for words in (
        "Why does the model predict this, and not the other tail?",
        "aspirin CHEBI:0",
        "pain CHEBI:2",
        "and not CHEBI:6",
        "Score +1.500",
        "Probability 0.817",
        "Rank of the tail 1 of 1,234 entities, filtered; raw 3",
        "Rank of the head 2 of 1,234 entities, filtered; raw 4",
        "Checkpoints 2 last: epoch 1",
        "Trainings 2",
        "Preset retraining",
        "Training triples 200 150 of them ranked",
        "Gradient norm 2.5",
        "This is a training triple: line 7.",
        "it speaks for pain and against CHEBI:6",
        "Size: drop of loss after a step that is divided by the curvature.",
        "trained without the triple",
        "Strongest proponent aspirin — predicate:0 → CHEBI:3 +8.000",
        "Strongest opponent pain — predicate:1 → CHEBI:3 −1.000",
        "3 listed, 88.4 % of the size of all listed influences",
        "epoch 0",
        "epoch 1",
        "gradient norm",
        "3 of the 6 listed influences are larger than their spread over the 2 trainings",
        "not ranked",
        "count_large 3",
        "By type of entity",
        "All training triples by relation",
        "f" * 64,
        "How these numbers were made",
    ):
        assert words in page.shown, words


def test_a_small_result_has_no_empty_parts(tmp_path):
    page = page_of(made_result(ranked([0.5])), tmp_path)
    assert ALL_PARTS & set(page.ids) == {"drawing", "paths", *SIDES, "sums", "histograms", "origin"}
    for words in ("Score", "Probability", "Rank of", "Trainings", "Preset", "spread", "gradient norm", "known", "ckpt"):
        assert words not in page.shown, words
    assert "None are listed." in page.shown


def test_an_empty_list_makes_a_page(tmp_path):
    page = page_of(made_result(ranked([])), tmp_path)
    assert ALL_PARTS & set(page.ids) == {*SIDES, "origin"}
    assert page.shown.count("none is listed") == 2


def test_only_the_side_that_was_ranked_is_shown(tmp_path):
    page = page_of(made_result(ranked([-0.5]), run={"rank_by": "opponents"}), tmp_path)
    assert {"proponents", "opponents"} & set(page.ids) == {"opponents"}


def test_influences_are_plain_decimals_and_sort_by_their_exact_values(tmp_path):
    page = page_of(two_answers(), tmp_path)
    amounts = [one["data-v"] for one in page.all("td") if one.get("class") == "amount"]
    assert amounts == ["8.0", "2.0", "0.5", "-1.0", "-0.25", "-0.125"]
    assert "+8.000" in page.shown
    assert not re.search(r"\de[+-]\d", page.shown.split("All metadata")[0])


def test_small_influences_share_a_unit(tmp_path):
    page = page_of(made_result(triples_with([(0, 0, 2)], [2.5e-8])), tmp_path)
    assert "+25.00" in page.shown
    assert "Unit of influences: ×10⁻⁹." in page.shown


def test_many_checkpoints_are_drawn_as_lines(tmp_path):
    contributions = (np.tile(np.arange(9.0) - 4, (5, 1)), np.ones((2, 9)))
    run = RUN | {"checkpoints": checkpoints(9)}
    page = page_of(two_answers(contributions=contributions, run=run), tmp_path)
    assert sum(one.get("class") == "spark" for one in page.all("svg")) == 5
    assert "epoch 3" not in [one.get("data-l") for one in page.all("td")]


def test_a_very_long_list_shows_its_first_rows_and_says_so(tmp_path):
    page = page_of(made_result(triples_with([(0, 0, 2)] * 600, np.linspace(9, 1, 600))), tmp_path)
    assert "600 listed (here the first 500), 100.0 % of the size" in page.shown
    assert sum(one.get("class") == "amount" for one in page.all("td")) == 500


def test_self_influence_has_a_page(tmp_path):
    place, index = write_pages(self_result(), tmp_path)
    page = read(place)
    assert place.name == "self_influence.html"
    assert ALL_PARTS & set(page.ids) == {"sums", "histograms", "origin"}
    assert "The size: how far a step on a triple lowers its own loss" in page.shown
    assert "against the prediction" not in page.shown
    assert "Self-influence of the training set" in read(index).shown


def test_a_set_has_a_page_with_its_test_triples(tmp_path):
    first, second, index = write_pages(in_sets(), tmp_path)
    assert (first.name, second.name) == ("set_0.html", "set_1.html")
    assert "Set heart" in read(second).shown
    assert "this is a training triple: line 7" in read(second).shown
    assert "it speaks for the predictions of this set, on average" in read(first).shown
    assert "2 explained sets of predictions" in read(index).shown


def test_the_test_triple_of_no_score_says_so(tmp_path):
    page = page_of(two_answers(made_predictions(score=np.array([np.nan, 1.0]))), tmp_path)
    assert "Score not finite" in page.shown


def test_known_reasons_are_marked_in_the_tables_and_the_histogram(tmp_path):
    truth = [[True, False, False, False, True], [False, False]]
    page = page_of(two_answers(), tmp_path, truth=truth)
    assert "2 of the 6 listed training triples are known reasons" in page.shown
    assert sum(one.get("class") == "badge" for one in page.all("span")) == 2
    assert sum(one.get("class") == "truth" for one in page.all("path")) == 2


def test_a_histogram_of_all_influences_is_shown_beside_that_of_the_listed_ones(tmp_path):
    edges = np.tile(np.linspace(-1.0, 8.0, 10), (2, 1))
    histogram = Histogram(edges=edges, counts=np.tile([1, 150, 40, 0, 0, 0, 5, 3, 1], (2, 1)))
    page = page_of(two_answers(), tmp_path, histogram=histogram)
    assert {"histogram-listed-t", "histogram-all-t"} <= set(page.ids)
    assert "How many of all 200 training triples have which influence" in page.shown
    assert "0 to +1.000: 150" in page.shown


def test_paths_between_head_and_tail_are_listed_with_their_metapaths(tmp_path):
    page = page_of(two_answers(), tmp_path)
    assert "3 paths of at most three listed training triples" in page.shown
    assert "aspirin predicate:0 → CHEBI:3 predicate:1 → pain" in page.shown
    assert "aspirin predicate:0 → CHEBI:3 ← against: predicate:1 pain" in page.shown
    assert "CHEBI -[predicate:0]-> CHEBI -[predicate:1]-> CHEBI" in page.shown


def test_a_page_says_so_where_no_path_joins_head_and_tail(tmp_path):
    page = page_of(made_result(triples_with([(0, 0, 3), (4, 1, 2)], [0.5, 0.25])), tmp_path)
    assert "paths" in page.ids
    assert "There is no path of at most three listed training triples between head and tail." in page.shown
    assert "table-paths" not in page.ids
    assert "There is no path" not in page_of(two_answers(), tmp_path / "joined").shown


def test_ranks_of_no_influence_have_no_percentile(tmp_path):
    result = full_result()
    ranks = replace(result.ranks, influence=np.array([[8.0, 0.0], [3.0, -1.0]]), rank=np.array([[1, 140], [1, 2]]))
    first, second = (read(page) for page in write_pages(replace(result, ranks=ranks), tmp_path)[:2])
    assert "1 100.00 +8.000 aspirin" in first.shown
    assert "140 no influence 0 CHEBI:3" in first.shown
    assert "6.71" not in first.shown
    assert "No influence: exactly 0, as all others that it ties with" in first.shown
    assert "influence: exactly 0" not in second.shown
    assert [one["data-v"] for one in first.all("td") if one.get("data-l") == "percentile" and "data-v" in one] == [""]


def test_shares_of_all_listed_influences_add_up(tmp_path):
    page = page_of(two_answers(), tmp_path)
    shares = [float(found) for found in re.findall(r"(\d+\.\d) % (?:aspirin|pain|CHEBI)", page.shown)]
    assert len(shares) == len(INFLUENCES) + 1
    assert sum(shares) == pytest.approx(100, abs=0.3)
