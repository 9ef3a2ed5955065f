"""Pages are written whole, named like the answers, and never over others unasked."""

import numpy as np
import pytest
from made_page import TESTS, full_result, read, two_answers
from made_paths import triples_with
from made_results import made_result

from tracin_dask import write_pages
from tracin_dask.errors import ResultError
from tracin_dask.report.page.histogram import Histogram


def test_there_is_a_page_per_answer_and_an_index_that_links_them(tmp_path):
    places = write_pages(two_answers(), tmp_path / "new" / "folder")
    assert [place.name for place in places] == ["triple_0_1_2.html", "triple_3_0_5.html", "index.html"]
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in places)
    links = [one["href"] for one in read(places[-1]).all("a")]
    assert links[1:] == ["triple_0_1_2.html", "triple_3_0_5.html"]
    assert [one["href"] for one in read(places[0]).all("a")][1:3] == ["index.html", "triple_3_0_5.html"]


def test_the_index_states_scores_ranks_numbers_of_both_sides_and_the_strongest_proponent(tmp_path):
    index = read(write_pages(two_answers(), tmp_path)[-1]).shown
    assert (
        "0 aspirin — predicate:1 → pain CHEBI:0 · CHEBI:2 +1.500 1 3 3 aspirin — predicate:0 → CHEBI:3 +8.000" in index
    )
    assert "1 CHEBI:3 — predicate:0 → CHEBI:5 −2.250 20.5 1 1 aspirin — predicate:0 → CHEBI:3 +3.000" in index
    assert "The model predicts 1 of 2 test triples" in index
    assert "The 2 lists hold 5 different training triples in 7 places" in index


def test_the_index_shows_the_label_of_the_only_end_that_has_a_name(tmp_path):
    index = read(write_pages(two_answers(test_triples=np.array([[0, 1, 3], [3, 0, 2]])), tmp_path)[-1]).shown
    assert "aspirin — predicate:1 → CHEBI:3 CHEBI:0 +1.500" in index
    assert "CHEBI:3 — predicate:0 → pain CHEBI:2 −2.250" in index


def test_the_index_warns_of_lists_that_are_all_the_same(tmp_path):
    same = (triples_with([(7, 0, 8), (8, 1, 9)], [1.0, 0.5]),) * 2
    further = (triples_with([], []),) * 2
    result = made_result(same[0], test_triples=TESTS, rankings=same, further=further)
    page = read(write_pages(result, tmp_path)[-1])
    assert "These lists are hardly about their own test triples" in page.shown
    assert [one["aria-label"] for one in page.all("div") if one.get("class") == "note"] == ["Warning"]


def test_a_test_triple_that_is_repeated_has_a_page_of_its_own(tmp_path):
    result = two_answers(test_triples=np.array([[0, 1, 2], [0, 1, 2]]))
    names = [place.name for place in write_pages(result, tmp_path)]
    assert names == ["triple_0_1_2.html", "triple_0_1_2_again_2.html", "index.html"]


def test_pages_of_the_same_result_are_the_same_bytes(tmp_path):
    first, second = (write_pages(full_result(), tmp_path / name) for name in ("a", "b"))
    assert [read(place).text for place in first] == [read(place).text for place in second]


def test_pages_are_replaced_only_if_asked(tmp_path):
    write_pages(two_answers(), tmp_path)
    with pytest.raises(ResultError, match=r"has the page index.html already; choose another folder"):
        write_pages(two_answers(), tmp_path)
    assert len(write_pages(two_answers(), tmp_path, overwrite=True)) == 3


def test_pages_of_an_earlier_result_are_deleted_and_others_stay(tmp_path):
    earlier = two_answers(test_triples=np.array([[0, 1, 2], [5, 0, 3]]))
    write_pages(earlier, tmp_path)
    assert (tmp_path / "triple_5_0_3.html").exists()
    (tmp_path / "triple_8_0_8.html").write_text("of nobody")
    write_pages(two_answers(), tmp_path, overwrite=True)
    names = {"triple_0_1_2.html", "triple_3_0_5.html", "index.html", "triple_8_0_8.html"}
    assert {file.name for file in tmp_path.iterdir()} == names
    (tmp_path / "triple_3_0_5.html").write_text("of another program now")
    write_pages(earlier, tmp_path, overwrite=True)
    assert {file.name for file in tmp_path.iterdir()} == names | {"triple_5_0_3.html"}


def test_what_the_index_of_another_program_lists_stays(tmp_path):
    page = write_pages(two_answers(), tmp_path)[0].path.rename(tmp_path / "triple_9_9_9.html")
    (tmp_path / "index.html").write_text('<a href="triple_9_9_9.html">')
    write_pages(two_answers(), tmp_path, overwrite=True)
    assert page.exists()


def test_truth_of_another_length_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ResultError, match="truth is stated for 1 answers, but the result has 2"):
        write_pages(two_answers(), tmp_path / "pages", truth=[[True] * 5])
    with pytest.raises(ResultError, match="answer 0: truth is stated for 3 training triples, but the ranking has 5"):
        write_pages(two_answers(), tmp_path / "pages", truth=[[True] * 3, [True] * 2])
    assert not (tmp_path / "pages").exists()


@pytest.mark.parametrize(("edges", "counts"), [((1, 4), (1, 3)), ((2, 4), (2, 4)), ((2, 1), (2, 0))])
def test_a_histogram_that_does_not_fit_is_refused(tmp_path, edges, counts):
    histogram = Histogram(edges=np.ones(edges).cumsum(axis=1), counts=np.ones(counts, np.int64))
    with pytest.raises(ResultError, match="expected 2 rows, one for each answer of the result, and one edge more"):
        write_pages(two_answers(), tmp_path, histogram=histogram)


def test_a_page_of_two_hundred_triples_is_below_300_kilobytes(tmp_path):
    generator = np.random.default_rng(0)
    triples = np.column_stack(
        [generator.integers(0, 50, 200), generator.integers(0, 9, 200), generator.integers(0, 50, 200)]
    )
    influence = np.where(np.arange(200) % 2, -1, 1) * np.linspace(9, 1, 200)
    names = {number: f"a rather long readable name of entity {number}" for number in range(50)}
    page = write_pages(made_result(triples_with(triples, influence), names), tmp_path)[0]
    assert page.num_bytes() < 300_000
