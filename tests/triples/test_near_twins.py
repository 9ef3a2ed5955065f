"""Labels that look alike are counted with an example, and suggested for an unknown one."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import TriplesError
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.near_twins import near_twins, normal_forms, twins_of
from tracin_dask.triples.tests_in_file import read_tests, read_tests_in_sets

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.fault("labels that differ only by blanks", promised="they are counted, with an example")
@pytest.mark.parametrize(
    "other",
    ["new\u00a0york", "new  york", " new york", "new york ", "new\u2009york", "new\u200b york", "new york\ufeff"],
)
def test_labels_that_differ_by_blanks_are_twins(other):
    found = near_twins(IdMap.of(["x", "new york", other]))
    assert found is not None
    assert (found.number, found.example) == (2, ("new york", other))
    assert twins_of(other, IdMap.of(["x", "new york"])) == ["new york"]


@pytest.mark.fault("labels in other Unicode forms", promised="they are counted, with an example")
def test_labels_in_other_unicode_forms_are_twins_and_shown_so_that_they_can_be_told_apart():
    found = near_twins(IdMap.of(["x", COMPOSED, "y", DECOMPOSED]))
    assert "2 labels differ from another one only by" in str(found)
    assert r"e.g. 'caf\xe9' and 'cafe\u0301'" in str(found)


@pytest.mark.parametrize("labels", [["a", "b"], ["a b", "ab"], ["a\u00a0b", "c"], [COMPOSED], ["A", "a"], ["x²", "x2"]])
def test_labels_that_differ_otherwise_are_no_twins(labels):
    assert near_twins(IdMap.of(labels)) is None


@settings(max_examples=50)
@given(st.lists(st.text("ae\u0301\u00e9 \u00a0\u200b", min_size=1, max_size=4), unique=True, min_size=1))
def test_counting_twins_equals_a_plain_loop(labels):
    def plain(label):
        visible = "".join(c for c in unicodedata.normalize("NFC", label) if unicodedata.category(c) != "Cf")
        return " ".join(visible.replace("\u00a0", " ").split())

    forms = [plain(label) for label in labels]
    found = near_twins(IdMap.of(labels))
    assert (found.number if found else 0) == sum(forms.count(form) > 1 for form in forms)
    assert normal_forms(IdMap.of(labels).labels).to_pylist() == forms


TRAIN = f"a\tr\tnew york\nb\ts\t{COMPOSED}\na\tr\tb\n"


@pytest.fixture
def store(write, tmp_path):
    names = write("names.tsv", "the first\t0\n")
    return ingest(write("train.txt", TRAIN), tmp_path / "g.zarr", options=IngestOptions(entity_names=names))


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        (
            "a\tr\tnew\u00a0york",
            r"unknown tail label: .* \(did you mean 'new york'\? It differs from 'new\\xa0york' only",
        ),
        (
            f"{DECOMPOSED}\tr\ta",
            r"unknown head label: .* \(did you mean 'caf\\xe9'\? It differs from 'cafe\\u0301' only",
        ),
        ("a\tr\tnew yorc", r"unknown tail label: .* \(did you mean new york\?\)"),
        ("a\tnew york\ta", r"unknown relation label: .* \(it is an entity: are they in the order"),
        ("the frist\tr\ta", r"unknown head label: .* \(did you mean the first \(a\)\?\)"),
    ],
)
def test_an_unknown_label_of_a_test_file_gets_the_suggestions_of_a_typed_one(write, store, line, suggestion):
    with pytest.raises(TriplesError, match=rf"test\.txt, line 2: {suggestion}"):
        read_tests(write("test.txt", f"a\tr\tb\n{line}\n"), store)
    with pytest.raises(TriplesError, match=rf"test\.txt, line 2: {suggestion}"):
        read_tests_in_sets(write("test.txt", f"a\tr\tb\tone\n{line}\tone\n"), store)


def test_an_unknown_label_of_the_training_text_gets_suggestions_too(write, tmp_path):
    entities, relations = write("e.tsv", "new york\t0\nb\t1\n"), write("r.tsv", "r\t0\n")
    text = write("train.txt", "b\tr\tb\nb\tr\tnew\u00a0york\n")
    with pytest.raises(TriplesError, match=r"line 2: unknown tail label: .* \(did you mean 'new york'\?"):
        ingest(text, tmp_path / "g.zarr", entity_to_id=entities, relation_to_id=relations)


def test_invalid_lines_of_test_files_are_left_out_and_counted_if_asked(write, store):
    found = read_tests(write("test.txt", "a\tr\tb\nx\tr\ta\na\tr\nb\ts\ta\n"), store, skip_invalid=True)
    assert found.triples.tolist() == [[0, 0, 1], [1, 1, 0]]
    assert found.skipped == {"unknown head label": 1, "wrong number of columns": 1}


def test_the_sets_of_lines_that_are_left_out_are_left_out_too(write, store):
    lines = "a\tr\tb\tone\nx\tr\ta\ttwo\na\tr\tb\nb\ts\ta\tthree\n"
    found = read_tests_in_sets(write("test.txt", lines), store, skip_invalid=True)
    assert found.triples.tolist() == [[0, 0, 1], [1, 1, 0]]
    assert found.sets == ("one", "three")
    assert found.skipped == {"unknown head label": 1, "wrong number of columns": 1}


@pytest.mark.parametrize(("read", "end"), [(read_tests, ""), (read_tests_in_sets, "\tone")])
def test_a_test_file_without_any_triple_left_is_refused(write, store, read, end):
    with pytest.raises(TriplesError, match=r"test\.txt: the file has no triples"):
        read(write("test.txt", f"x\tr\ta{end}\n"), store, skip_invalid=True)
