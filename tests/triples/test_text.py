"""Text files of triples become ids, or are refused with the invalid lines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import TriplesError
from tracin_dask.triples.block import concatenate
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.lines import InvalidLines, read_blocks
from tracin_dask.triples.text import open_triples, read_triples

ENTITIES, RELATIONS = IdMap.of(["a", "b", "c"]), IdMap.of(["r", "s"])
LINES = st.sampled_from(
    [
        "a\tr\tb",
        "b\ts\tc",
        "c\tr\ta",
        "",
        "a\tr",
        "a\tr\tb\tc",
        "a\t\tb",
        "x\tr\ta",
        "a\tx\tb",
        "a\tr\tx",
        "a\rb",
        "\xff",
    ]
)


def test_labels_become_ids_in_the_order_of_the_lines(write):
    assert read_triples(write("t.txt", "b\ts\ta\na\tr\tc\nb\ts\ta\n"), ENTITIES, RELATIONS).tolist() == [
        [1, 1, 0],
        [0, 0, 2],
        [1, 1, 0],
    ]


@pytest.mark.parametrize(
    "content", ["a\tr\tb", "a\tr\tb\n\n", "a\tr\tb\r\n", "a\tr\tb\r\n\r\n", b"\xef\xbb\xbfa\tr\tb\n"]
)
def test_line_endings_final_blank_line_and_byte_order_mark_do_not_matter(write, content):
    assert read_triples(write("t.txt", content), ENTITIES, RELATIONS).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("second_line", ["a\tr\tb\n", "a\tr\n"], ids=["all well-formed", "split line by line"])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_a_byte_order_mark_inside_a_file_is_part_of_its_label_wherever_blocks_begin(write, second_line, block_bytes):
    text = f"a\tr\tb\n{second_line}\ufeffa\tr\tb\n"
    for mark in ("", "\ufeff"):
        opened = replace(open_triples(write("t.txt", mark + text)), block_bytes=block_bytes)
        heads = [head for table in opened.tables(InvalidLines()) for head in table.columns[0].to_pylist()]
        assert heads[-1] == "\ufeffa"
    with pytest.raises(TriplesError, match="line 1: unknown head label"):
        read_triples(write("t.txt", "\ufeff\ufeffa\tr\tb\n"), ENTITIES, RELATIONS)


def test_bare_integers_are_ids_unless_declared_as_labels(write):
    path = write("t.txt", "2\t1\t0\n")
    letters, numbers = IdMap.of(["a", "b", "c"]), IdMap.of(["0", "1", "2"])
    assert read_triples(path, letters, numbers).tolist() == [[2, 1, 0]]
    other = IdMap.of(["2", "1", "0"])
    assert read_triples(path, other, numbers, labels=True).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("content", ["00260881\t_hypernym\t00260622\n", "01\t1\t2\n", "a\t1\t2\n", ""])
def test_integers_in_a_file_with_other_labels_are_labels(write, content):
    assert not open_triples(write("t.txt", content)).has_ids


def test_a_malformed_line_at_the_start_does_not_turn_ids_into_labels(write):
    assert open_triples(write("t.txt", "1\t2\n3\t4\t5\n")).has_ids


@pytest.mark.fault("an invalid line of triples", promised="one message with the line")
@pytest.mark.parametrize(
    ("line", "kind", "shown"),
    [
        (b"a\tr", "wrong number of columns", r"'a\\tr'"),
        (b"a\tr\tb\tc", "wrong number of columns", r"'a\\tr\\tb\\tc'"),
        (b"a r b", "wrong number of columns", "'a r b'"),
        (b"a\t\tb", "empty field", r"'a\\t\\tb'"),
        (b"", "blank line", "''"),
        (b"a\xff\tr\tb", "invalid UTF-8", r"'a\\\\xff\\tr\\tb'"),
        (b"a\rb\tr\tb", "stray carriage return", r"'a\\rb\\tr\\tb'"),
        (b"x\tr\tb", "unknown head label", r"'x\\tr\\tb'"),
        (b"a\tx\tb", "unknown relation label", r"'a\\tx\\tb'"),
        (b"a\tr\tx", "unknown tail label", r"'a\\tr\\tx'"),
        (b"a\t" + b"r" * (5 << 20) + b"\tb", "unknown relation label", r"'a\\trrr"),
    ],
)
def test_an_invalid_line_is_refused_with_file_line_number_and_text(write, line, kind, shown):
    path = write("train.txt", b"a\tr\tb\nb\tr\tc\n" + line + b"\na\tr\tc\n")
    with pytest.raises(
        TriplesError, match=rf"1 line cannot be used: 1 × {kind}\n  .*train.txt, line 3: {kind}: {shown}"
    ):
        read_triples(path, ENTITIES, RELATIONS)


@pytest.mark.fault("an id that the graph does not have", promised="one message with the line")
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("3\t0\t0", "head id out of range"),
        ("0\t2\t0", "relation id out of range"),
        ("0\t0\t9999999999999999999", "tail is not an integer id"),
        ("0\t-1\t0", "relation is not an integer id"),
        ("a\t0\t0", "head is not an integer id"),
    ],
)
def test_an_invalid_id_is_refused_and_the_message_suggests_the_labels_option(write, line, kind):
    path = write("train.txt", "0\t0\t1\n" * 20_001 + line + "\n")
    with pytest.raises(TriplesError, match=rf"(?s)train.txt, line 20002: {kind}.*pass --labels"):
        read_triples(path, ENTITIES, RELATIONS)


def test_an_error_shows_the_first_five_invalid_lines_and_counts_all(write):
    path = write("train.txt", "a\tr\tb\n" + "x\tr\ta\na\tr\n" * 50)
    with pytest.raises(TriplesError, match="50 × unknown head label, 50 × wrong number of columns") as caught:
        read_triples(path, ENTITIES, RELATIONS)
    shown = [line for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert [line.split(", line ")[1].split(":")[0] for line in shown] == ["2", "3", "4", "5", "6"]


def test_spaces_separate_columns_only_where_allowed_and_without_tabs(write):
    entities = IdMap.of(["a", "b c"])
    path = write("test.txt", "a r  a\nb c\tr\ta\n")
    relations, invalid = IdMap.of(["r"]), InvalidLines()
    spaced = concatenate(open_triples(path, allow_spaces=True).blocks(entities, relations, invalid=invalid))
    assert spaced.triples.tolist() == [[0, 0, 0], [1, 0, 0]]
    with pytest.raises(TriplesError, match="line 1: wrong number of columns: 'a r  a'"):
        read_triples(path, entities, IdMap.of(["r"]))


def test_reading_a_text_file_without_triples_is_refused(write):
    with pytest.raises(TriplesError, match=r"t.txt: the file has no triples; expected lines of"):
        read_triples(write("t.txt", "\n"), ENTITIES, RELATIONS)


@pytest.mark.fault("a binary file without line breaks", promised="one message, in bounded memory")
def test_a_binary_file_is_refused_in_bounded_memory(write):
    with pytest.raises(TriplesError, match="a line has more than 1,048,576 bytes; expected a text file"):
        list(read_blocks(write("t.bin", b"x" * (5 << 20)), block_bytes=1 << 20))


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=30), st.integers(8, 200))
def test_reading_in_blocks_of_any_size_equals_a_plain_loop(tmp_path_factory, lines, block_bytes):
    path = tmp_path_factory.mktemp("text") / "t.txt"
    lines = ["a\tr\tb", *lines]  # a file in which no line has three columns is refused as a whole
    path.write_bytes("\n".join(lines).encode("latin-1"))
    text = replace(open_triples(path, labels=True), block_bytes=block_bytes)
    invalid = InvalidLines()
    block = concatenate(text.blocks(ENTITIES, RELATIONS, invalid=invalid))
    if lines and not lines[-1]:
        lines = lines[:-1]  # the newline of the last line
        if lines and not lines[-1]:
            lines = lines[:-1]  # one blank line at the end
    good = {
        number: [ENTITIES.ids([fields[0]])[0], RELATIONS.ids([fields[1]])[0], ENTITIES.ids([fields[2]])[0]]
        for number, line in enumerate(lines)
        if len(fields := line.split("\t")) == 3 and all(fields) and "x" not in fields
    }
    assert block.train_index.tolist() == list(good)
    assert block.triples.tolist() == [[int(value) for value in row] for row in good.values()]
    assert invalid.counts.total() == len(lines) - len(good)
    assert [line.number - 1 for line in invalid.first] == [n for n in range(len(lines)) if n not in good][:5]


def test_blocks_cover_every_byte_once_and_in_order(write):
    content = b"\xef\xbb\xbf" + b"a\tr\tb\n" * 100 + b"\n"
    seen: list[bytes] = []
    blocks = list(read_blocks(write("t.txt", content), block_bytes=64, on_bytes=seen.append))
    assert b"".join(seen) == content
    assert np.cumsum([0] + [block.num_lines for block in blocks])[:-1].tolist() == [b.first_line for b in blocks]
    assert sum(block.num_lines for block in blocks) == 100


def test_a_first_line_that_alone_is_unknown_may_be_a_header_and_the_message_says_so(write):
    with pytest.raises(TriplesError, match="; if the first line is a header, pass --header"):
        read_triples(write("t.txt", "drug\tacts\tdisease\na\tr\tb\n"), ENTITIES, RELATIONS)
