"""Id maps are read exactly, or refused with file, line and text of the error."""

import gzip
import hashlib
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracin_dask.errors import TriplesError
from tracin_dask.triples.idmap import (
    IdMap,
    bare_integers,
    id_map_bytes,
    id_maps_sha256,
    needs_map_columns,
    read_id_map,
    write_id_map,
)

LABELS = st.text(st.characters(exclude_characters="\t\r\n\ufeff", exclude_categories=["Cs"]), min_size=1)


def test_an_id_map_may_list_its_ids_in_any_order(write):
    id_map = read_id_map(write("map.tsv", "b\t1\nc\t2\na\t0\n"))
    assert id_map.labels.to_pylist() == ["a", "b", "c"]
    assert [id_map.label(number) for number in range(len(id_map))] == ["a", "b", "c"]


def test_looking_up_labels_gives_minus_one_for_unknown_labels(write):
    id_map = read_id_map(write("map.tsv", "b\t1\na\t0\n"))
    assert id_map.ids(["b", "x", "a", "b"]).tolist() == [1, -1, 0, 1]
    assert id_map.ids([]).tolist() == []


def test_labels_may_hold_commas_quotes_spaces_and_other_scripts(write):
    labels = ['"a, b"', "it's", " padded ", "Δ9-THC", "日本", "NA", "null"]
    id_map = read_id_map(write("map.tsv", "".join(f"{label}\t{i}\r\n" for i, label in enumerate(labels))))
    assert id_map.labels.to_pylist() == labels


@given(st.lists(LABELS, unique=True, min_size=1))
def test_a_written_id_map_reads_back_equal(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("maps") / "map.tsv"
    write_id_map(path, IdMap.of(labels))
    assert read_id_map(path, columns="label,id").labels.to_pylist() == labels
    assert [file.name for file in path.parent.iterdir()] == ["map.tsv"]


@pytest.mark.fault("an invalid line of an id map", promised="one message with the line")
@pytest.mark.parametrize(
    ("text", "line", "shown", "reason"),
    [
        ("a\t0\nb\t0\n", 2, r"b\t0", "id appears a second time"),
        ("a\t0\nb\t1\na\t2\n", 3, r"a\t2", "label appears a second time"),
        ("a\t0\nb\t2\n", 2, r"b\t2", "without a gap"),
        (
            "name\tnumber\na\t0\n",
            1,
            r"name\tnumber",
            "not an integer ≥ 0; expected `label TAB id`; a header has the word",
        ),
        ("id\tlabel\n0\ta\n2\tb\n", 3, r"2\tb", "without a gap"),
        ("0\ta\n1\ta\n", 2, r"1\ta", "label appears a second time"),
        ("a\t0\nb\t-1\n", 2, r"b\t-1", "not an integer"),
        ("a\t0\nb\t1.0\n", 2, r"b\t1.0", "not an integer"),
        ("a\t0\nb\t01\n", 2, r"b\t01", "not an integer"),
        ("a\t0\nb\t0x1\n", 2, r"b\t0x1", "not an integer"),
        ("a\t0\nb\n", 2, "b", "wrong number of columns"),
        ("a\t0\nb\t1\t2\n", 2, r"b\t1\t2", "wrong number of columns"),
        ("a\t0\n\t1\n", 2, r"\t1", "empty field"),
        ("a\t0\n\nb\t1\n", 2, "", "blank line"),
    ],
)
def test_an_invalid_line_of_an_id_map_is_named_with_its_number_and_text(write, text, line, shown, reason):
    path = write("entity_to_id.tsv", text)
    with pytest.raises(TriplesError, match=f"entity_to_id.tsv, line {line}: .*{reason}") as caught:
        read_id_map(path)
    assert repr(shown).replace("\\\\", "\\") in str(caught.value)


@pytest.mark.fault("an id map with the id first", promised="it is read, and a message says so")
@pytest.mark.parametrize("text", ["1\tb\n0\ta\n2\tc\n", "0\ta\n1\tb\n2\tc\n"])
def test_lines_of_id_and_label_are_recognised_and_told(write, text):
    told: list[str] = []
    id_map = read_id_map(write("entity_ids.del", text), say=told.append)
    assert id_map.labels.to_pylist() == ["a", "b", "c"]
    assert [line.endswith("entity_ids.del: read as lines of `id TAB entity label`") for line in told] == [True]


def test_integer_labels_that_are_not_0_to_n_leave_the_ids_clear(write):
    assert read_id_map(write("map.tsv", "7\t1\n5\t0\n")).labels.to_pylist() == ["5", "7"]
    assert read_id_map(write("map.tsv", "1\t7\n0\t5\n")).labels.to_pylist() == ["5", "7"]
    assert read_id_map(write("map.tsv", "1\t1\n0\t0\n")).labels.to_pylist() == ["0", "1"]


@pytest.mark.fault("an id map of two columns of integers", promised="refused until the order is stated")
def test_a_map_whose_columns_could_both_be_ids_is_refused_until_the_order_is_stated(write):
    path = write("map.tsv", "0\t0\n1\t2\n2\t1\n3\t3\n")
    cycle = write("cycle.tsv", "0\t1\n1\t2\n2\t0\n")
    with pytest.raises(
        TriplesError, match=r"map\.tsv, line 2: '1\\t2': either could be the id, .* 0 to 3; .*--map-columns"
    ):
        read_id_map(path)
    assert read_id_map(cycle, columns="label,id").labels.to_pylist() == ["2", "0", "1"]
    assert read_id_map(cycle, columns="id,label").labels.to_pylist() == ["1", "2", "0"]


@pytest.mark.parametrize("text", ["id\tlabel\n1\tb\n0\ta\n", "label\tid\nb\t1\na\t0\n", "Entity\tID\nb\t1\na\t0\n"])
def test_a_header_with_the_word_id_says_the_order_of_the_columns_and_is_told(write, text):
    told: list[str] = []
    assert read_id_map(write("map.tsv", text), say=told.append).labels.to_pylist() == ["a", "b"]
    assert len(told) == 1
    assert "map.tsv: the first line is a header, for the columns" in told[0]


def test_a_header_settles_columns_that_could_both_be_ids(write):
    assert read_id_map(write("map.tsv", "id\tlabel\n0\t1\n1\t2\n2\t0\n")).labels.to_pylist() == ["1", "2", "0"]


def test_an_entity_that_is_called_id_is_no_header(write):
    assert read_id_map(write("map.tsv", "id\t1\na\t0\n")).labels.to_pylist() == ["a", "id"]


def test_a_map_that_needs_its_order_stated_is_known_before_it_is_written(tmp_path):
    for labels, expected in [(["1", "0"], True), (["0", "1"], False), (["5", "0"], False), (["a", "0"], False)]:
        id_map = IdMap.of(labels)
        assert needs_map_columns(id_map) == expected
        write_id_map(tmp_path / "map.tsv", id_map)
        assert read_id_map(tmp_path / "map.tsv", columns="label,id").labels.to_pylist() == labels


def test_an_integer_label_that_is_not_its_own_id_is_found():
    assert IdMap.of(["0", "1", "b"]).other_integer() is None
    assert IdMap.of(["a", "02", "1"]).other_integer() == ("1", 2)


def test_invalid_utf8_in_an_id_map_is_named_with_its_line(write):
    with pytest.raises(TriplesError, match=r"line 2: invalid UTF-8: 'b\\\\xff"):
        read_id_map(write("map.tsv", b"a\t0\nb\xff\t1\n"))


def test_a_compressed_id_map_is_read(write):
    assert read_id_map(write("map.tsv.gz", gzip.compress(b"a\t0\nb\t1\n"))).labels.to_pylist() == ["a", "b"]


def test_the_number_of_labels_may_stand_in_the_first_line(write):
    assert read_id_map(write("entity2id.txt", "2\nb\t1\na\t0\n")).labels.to_pylist() == ["a", "b"]
    with pytest.raises(TriplesError, match=r"entity2id.txt, line 1: 3 lines are announced, but 2 follow"):
        read_id_map(write("entity2id.txt", "3\nb\t1\na\t0\n"))
    with pytest.raises(TriplesError, match=r"entity2id.txt, line 3: 'a\\t1': this entity id appears a second time"):
        read_id_map(write("entity2id.txt", "2\nb\t1\na\t1\n"))


@pytest.mark.parametrize("line", ["\t2", "2\t"])
def test_a_first_line_that_lacks_its_label_is_not_taken_for_the_number_of_labels(write, line):
    with pytest.raises(TriplesError, match=r"entity2id.txt, line 1: "):
        read_id_map(write("entity2id.txt", f"{line}\nb\t1\na\t0\n"))


def test_an_empty_id_map_is_refused(write):
    with pytest.raises(TriplesError, match=r"the file is empty; expected lines of `relation label TAB id`"):
        read_id_map(write("map.tsv", ""), "relation")


def test_a_missing_id_map_is_refused(tmp_path):
    with pytest.raises(TriplesError, match=r"none.tsv: cannot be read: No such file"):
        read_id_map(tmp_path / "none.tsv")


def test_the_hash_of_the_id_maps_depends_on_every_label_and_its_id():
    entities, relations = IdMap.of(["a", "b"]), IdMap.of(["r"])
    known = id_maps_sha256(entities, relations)
    assert known == hashlib.sha256(b"entities 2\na\nb\nrelations 1\nr\n").hexdigest()
    others = [
        id_maps_sha256(IdMap.of(["b", "a"]), relations),
        id_maps_sha256(IdMap.of(["a"]), IdMap.of(["b", "r"])),
        id_maps_sha256(IdMap.of(["ab"]), relations),
        id_maps_sha256(relations, entities),
    ]
    assert len({known, *others}) == 5


@given(st.text(max_size=20))
def test_only_canonical_integers_are_accepted_as_ids(text):
    found = int(bare_integers(pa.array([text], pa.string()))[0])
    plain = bool(re.fullmatch("0|[1-9][0-9]{0,17}", text))
    assert found == (int(text) if plain else -1)


def test_an_id_map_is_written_as_label_tab_id():
    assert id_map_bytes(IdMap.of(["ä", "b"])) == "ä\t0\nb\t1\n".encode()
