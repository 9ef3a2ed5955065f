"""The drawing of an answer: everything in its frame, nothing on top of another thing, always the same."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_page import read, two_answers
from made_paths import result_of, triples_with

from tracin_dask import write_pages
from tracin_dask.report.page.chains import found_paths
from tracin_dask.report.page.drawing import drawing_of, fitted
from tracin_dask.report.page.listed import listed

triples_in_lists = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 9), st.floats(-5, 5, width=32)), max_size=40
)


def drawn(result, index=0):
    paths = found_paths(result, index)
    return drawing_of(result, index, listed(result, index), [path.entries for path in paths.paths])


def points(path):
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path)]
    return np.array(numbers).reshape(-1, 2)


def curve(path, steps=40):
    """Give points of a cubic curve."""
    first, second, third, last = points(path)
    at = np.linspace(0, 1, steps)[:, None]
    return (1 - at) ** 3 * first + 3 * at * (1 - at) ** 2 * second + 3 * at**2 * (1 - at) * third + at**3 * last


@settings(max_examples=40)
@given(triples_in_lists)
def test_boxes_are_inside_the_frame_and_apart_and_arrows_stay_inside(rows):
    result = result_of([row[:3] for row in rows], [float(row[3]) for row in rows])
    picture = drawn(result)
    if picture is None:
        assert not rows
        return
    for box in picture.boxes:
        assert picture.box / 2 <= box.x <= picture.width - picture.box / 2
        assert picture.box_height / 2 <= box.y <= picture.height - picture.box_height / 2
    for first, second in itertools.combinations(picture.boxes, 2):
        assert abs(first.x - second.x) > picture.box or abs(first.y - second.y) > picture.box_height
    for arrow in (*picture.arrows, *picture.asked):
        line = curve(arrow.path)
        assert line[:, 0].min() >= 0 <= line[:, 1].min()
        assert line[:, 0].max() <= picture.width
        assert line[:, 1].max() <= picture.height
    assert drawn(result) == picture


def test_opponents_are_dashed_and_wider_lines_are_stronger(tmp_path):
    page = read(write_pages(two_answers(), tmp_path)[0])
    lines = [one for one in page.all("path") if one.get("class", "").startswith("line line-")]
    assert [one["class"] for one in lines].count("line line-o") == 3
    assert ".line-o { stroke: var(--against); stroke-dasharray: 7 4; }" in page.text
    marks = {arrow.mark: arrow.width for arrow in drawn(two_answers()).arrows}
    assert marks["P1"] > marks["P2"] > marks["O1"] > marks["O2"] > marks["O3"]


def test_entities_on_paths_stand_between_head_and_tail():
    x_of = {box.title: box.x for box in drawn(two_answers()).boxes}
    assert x_of["aspirin (CHEBI:0)"] < x_of["CHEBI:3"] < x_of["pain (CHEBI:2)"]


@pytest.mark.parametrize("inner", [1, 2, 3])
def test_triples_from_head_to_tail_and_their_marks_keep_off_the_boxes_between(inner):
    paths = [triple for n in range(3, 3 + inner) for triple in ((0, 0, n), (n, 0, 2))]
    direct = [(0, relation, 2) for relation in range(3)]
    picture = drawn(result_of(paths + direct, [3.0 - n / 10 for n in range(len(paths) + len(direct))]))
    boxes = [box for box in picture.boxes if not box.kind]
    lines = [curve(arrow.path) for arrow in picture.arrows]
    crossing = [line for line in lines if abs(line[0, 0] - line[-1, 0]) > 2 * picture.box]
    assert len(boxes) == inner
    assert len(crossing) == 3
    for box in boxes:
        for line in crossing:
            assert not np.any((abs(line - (box.x, box.y)) < (picture.box / 2, picture.box_height / 2)).all(axis=1))
        for arrow in picture.arrows:
            assert abs(arrow.x - box.x) > picture.box / 2 + 13 or abs(arrow.y - box.y) > picture.box_height / 2 + 7


def test_triples_that_touch_neither_head_nor_tail_stand_below_the_others():
    picture = drawn(result_of([(0, 0, 3), (7, 0, 8)], [2.0, 1.0]))
    assert {box.title for box in picture.boxes if box.y > picture.loose_from} == {"CHEBI:7", "CHEBI:8"}


def test_paths_come_before_stronger_triples_that_are_on_none():
    many = [(9 + n, 0, 2) for n in range(30)]
    result = result_of([*many, (0, 0, 3), (3, 1, 2)], [*[5.0] * 30, 0.5, 0.5])
    titles = [arrow.title for arrow in drawn(result).arrows]
    assert len(titles) == 16
    assert sum("→ CHEBI:3:" in title or ": CHEBI:3 —" in title for title in titles) == 2


def test_a_contrast_draws_the_other_tail_under_the_tail():
    boxes = {box.kind: box for box in drawn(two_answers(contrast_tails=np.array([6, 6]))).boxes}
    assert boxes["tail"].x == boxes["other"].x
    assert boxes["tail"].y < boxes["other"].y


def test_a_test_triple_from_an_entity_to_itself_is_drawn():
    result = result_of([(0, 1, 0), (0, 0, 3)], [2.0, -1.0], test_triples=np.array([[0, 1, 0]]))
    assert {box.title for box in drawn(result).boxes} == {"CHEBI:0", "CHEBI:3"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("pain", ["pain"]),
        ("type 1 diabetes mellitus", ["type 1 diabetes", "mellitus"]),
        ("nucleic_acid_nucleoside_or_nucleotide", ["nucleic_acid_", "nucleoside_or_…"]),
        ("高血圧症と糖尿病の治療薬についての話", ["高血圧症と糖尿病", "の治療薬につい…"]),
        ("", [""]),
    ],
)
def test_names_are_broken_into_two_lines_that_fit(text, lines):
    found = fitted(text, 130.0)
    assert len(found) <= 2
    assert found == lines


def test_a_result_without_triples_has_no_drawing():
    assert drawing_of(result_of([], []), 0, listed(result_of([], []), 0)) is None
    assert triples_with([], []).triples.shape == (0, 3)
