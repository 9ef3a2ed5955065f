"""A file that is read part by part, in any cut, has the lines, triples and faults of the whole file."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import TriplesError
from tracin_dask.places.registry import place_of
from tracin_dask.triples import parts as parts_module
from tracin_dask.triples.formats import TableFormat, find_format
from tracin_dask.triples.lines import InvalidLines
from tracin_dask.triples.parts import WHOLE, Part, cut
from tracin_dask.triples.shape import Shape

USUAL = ["a\tr\tb\n", "é\tr\tü\r\n", "<html>\tr\tb\n", "\ufeffa\tr\tb\n", "BZh91AY&SY\tr\tb\n"]
LINES = st.sampled_from([*USUAL, "\n", "\r\n", "a\tr\n", "a\t\tb\n"])
TEXTS = st.tuples(st.lists(LINES, max_size=8), st.sampled_from(["", "a\tr\tb", "\n", "\r\n", "a\t"])).map(
    lambda drawn: "".join(drawn[0]) + drawn[1]
)


def rows_of(found: TableFormat, invalid: InvalidLines, first_line: int = 0) -> list[tuple[object, ...]]:
    tables = list(found.tables(invalid, block_bytes=16))
    return [
        (*fields, index + first_line)
        for table in tables
        for *fields, index in zip(*map(pa.Array.to_pylist, table.columns), table.line_index.tolist(), strict=True)
    ]


def assert_parts_are_the_whole(found: TableFormat, num_bytes: int, part_bytes: int) -> None:
    whole, joined, rows = InvalidLines(), InvalidLines(), []
    expected = rows_of(found, whole)
    for part in cut(num_bytes, part_bytes):
        invalid = InvalidLines()
        rows += rows_of(found.at(found.path, part), invalid, joined.num_lines)
        joined = joined.followed_by(invalid)
    assert rows == expected
    assert joined == whole


@settings(max_examples=40)
@given(TEXTS, st.integers(1, 40), st.sampled_from(["", "\ufeff", "head\trelation\ttail\n"]))
def test_parts_of_a_text_give_the_lines_and_faults_of_the_whole(tmp_path_factory, text, part_bytes, before):
    path = tmp_path_factory.mktemp("parts") / "train.txt"
    path.write_bytes(b"x\tr\ty\n".join([before.encode(), text.encode()]))
    found = find_format(place_of(path), Shape(header=before.startswith("head")))
    assert_parts_are_the_whole(found, path.stat().st_size, part_bytes)


@pytest.mark.parametrize("part_bytes", [1, 7, 40, 1000])
def test_parts_of_json_lines_give_the_triples_of_the_whole(write, part_bytes):
    usual = '{"subject": "a", "predicate": "r", "object": "b"}'
    lines = [usual, "{}", "", '{"subject": "a\\n", "predicate": 1, "object": 2}']
    path = write("edges.jsonl", "\n".join(lines * 3))
    assert_parts_are_the_whole(find_format(place_of(path)), path.stat().st_size, part_bytes)


def test_a_line_that_is_too_long_for_any_block_is_refused_while_its_end_is_looked_for(write, monkeypatch):
    monkeypatch.setattr(parts_module, "_LONGEST_LINE_BYTES", 1 << 10)
    monkeypatch.setattr(parts_module, "_PIECE_BYTES", 1 << 8)
    path = write("train.txt", "a\tr\tb\n" * 20 + "x" * 4096)
    part = find_format(place_of(path)).at(place_of(path), Part(start=200, stop=300))
    with pytest.raises(TriplesError, match=r"train.txt: a line has more than 1,048,576 bytes"):
        list(part.tables(InvalidLines()))


def test_an_announced_number_is_compared_with_the_lines_of_all_parts(write):
    path = write("train.txt", "3\na\tr\tb\nb\tr\ta\n")
    found = find_format(place_of(path), Shape(columns=("1", "2", "3"), delimiter="\t"))
    first, second = (found.at(found.path, part) for part in cut(path.stat().st_size, 8))
    assert [len(rows_of(part, InvalidLines())) for part in (first, second)] == [1, 1]
    with pytest.raises(TriplesError, match="3 lines are announced, but 2 follow"):
        found.refuse_other_count(2)


@given(st.integers(0, 50), st.integers(1, 60))
def test_a_cut_covers_the_file_without_gaps(num_bytes, part_bytes):
    found = cut(num_bytes, part_bytes)
    assert (found[0].start, found[-1].stop) == (0, None)
    assert [part.stop for part in found[:-1]] == [part.start for part in found[1:]]
    if num_bytes <= part_bytes:
        assert found == [WHOLE]
