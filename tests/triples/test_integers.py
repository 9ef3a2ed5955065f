"""Integers that could be ids or labels are refused in every file of triples until the user says which they are."""

import pytest

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.models.training.graph import GraphFiles, read_graph
from tracin_dask.triples.group_ingest import GroupOptions, ingest_groups
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.ingest import IngestOptions, ingest, ingest_cached
from tracin_dask.triples.integers import are_ids
from tracin_dask.triples.tests_in_file import read_tests, read_tests_in_sets
from tracin_dask.triples.text import read_triples
from tracin_dask.triples.training_triples import read_training_triples

ENTITIES, RELATIONS = "10\t0\n11\t1\n1\t2\n0\t3\n", "0\t1\n5\t0\n"
LINE = "0\t0\t1\n"
AS_IDS, AS_LABELS = [[0, 0, 1]], [[3, 1, 2]]
QUESTION = r"are its integers ids or labels\? They could be either: .* with the label .*; give --ids or --labels"


@pytest.fixture
def maps(write):
    return {"entity_to_id": write("e.tsv", ENTITIES), "relation_to_id": write("r.tsv", RELATIONS)}


@pytest.fixture
def store(write, tmp_path, maps):
    text = write("train.txt", LINE + "3\t1\t2\n")
    return ingest(text, tmp_path / "graph.zarr", **maps, options=IngestOptions(ids=True))


def rows(store):
    return store.read(0, len(store)).triples.tolist()


@pytest.mark.fault(
    "integers that could be ids or labels, training text", promised="refused until --ids or --labels is given"
)
def test_training_text_of_integers_is_refused_until_they_are_stated(write, tmp_path, maps):
    text = write("train.txt", LINE)
    with pytest.raises(TriplesError, match=rf"train\.txt: {QUESTION}"):
        ingest(text, tmp_path / "a.zarr", **maps)
    assert rows(ingest(text, tmp_path / "b.zarr", **maps, options=IngestOptions(ids=True))) == AS_IDS
    assert rows(ingest(text, tmp_path / "c.zarr", **maps, options=IngestOptions(labels=True))) == AS_LABELS


def test_a_cached_store_does_not_answer_for_integers_that_are_not_stated(write, tmp_path, maps):
    text = write("train.txt", LINE)
    ingest_cached(text, tmp_path / "cache", **maps, options=IngestOptions(ids=True))
    with pytest.raises(TriplesError, match=QUESTION):
        ingest_cached(text, tmp_path / "cache", **maps)


def test_one_map_with_integer_labels_is_enough_to_ask(write, tmp_path):
    text, letters = write("train.txt", LINE), write("letters.tsv", "a\t0\nb\t1\n")
    for given in ({"entity_to_id": write("e.tsv", ENTITIES)}, {"relation_to_id": write("r.tsv", RELATIONS)}):
        with pytest.raises(TriplesError, match=QUESTION):
            ingest(text, tmp_path / "a.zarr", **given)
    assert rows(ingest(text, tmp_path / "a.zarr", entity_to_id=letters, relation_to_id=letters)) == AS_IDS


def test_labels_that_are_their_own_ids_leave_nothing_to_ask(write, tmp_path):
    numbered = {name: write(f"{name}.tsv", "0\t0\n1\t1\n2\t2\n") for name in ("entity_to_id", "relation_to_id")}
    assert rows(ingest(write("train.txt", LINE), tmp_path / "a.zarr", **numbered)) == AS_IDS


def test_files_with_other_words_than_integers_are_labels_even_where_ids_are_stated(write):
    entities, relations = IdMap.of(["1", "0"]), IdMap.of(["likes"])
    path = write("t.txt", "0\tlikes\t1\n")
    assert read_triples(path, entities, relations).tolist() == [[1, 0, 0]]
    assert read_triples(path, entities, relations, ids=True).tolist() == [[1, 0, 0]]


@pytest.mark.fault(
    "integers that could be ids or labels, test triples", promised="refused until --ids or --labels is given"
)
@pytest.mark.parametrize(
    ("read", "line"),
    [
        (read_tests, LINE),
        (read_tests_in_sets, "0\t0\t1\tsome\n"),
        (lambda path, store, **stated: read_triples(path, store.entities, store.relations, **stated), LINE),
    ],
)
def test_files_of_test_triples_are_refused_until_integers_are_stated(write, store, read, line):
    path = write("test.txt", line)
    with pytest.raises(TriplesError, match=rf"test\.txt: {QUESTION}"):
        read(path, store)
    for stated, expected in (("ids", AS_IDS), ("labels", AS_LABELS)):
        found = read(path, store, **{stated: True})
        assert getattr(found, "triples", found).tolist() == expected
    with pytest.raises(ConfigError, match=r"--labels and --ids contradict each other"):
        read(path, store, labels=True, ids=True)


def test_listed_training_triples_are_refused_until_integers_are_stated(write, store):
    path = write("some.txt", LINE)
    with pytest.raises(TriplesError, match=rf"some\.txt: {QUESTION}"):
        read_training_triples(path, store)
    assert read_training_triples(path, store, ids=True).triples.tolist() == AS_IDS
    assert read_training_triples(write("labels.txt", "0\t0\t1\n"), store, labels=True).triples.tolist() == AS_LABELS


@pytest.mark.fault("integers that could be ids or labels, groups", promised="refused until --ids or --labels is given")
def test_groups_are_refused_until_integers_are_stated(write, tmp_path, store):
    ids = write("ids.tsv", "0\t0\t1\tx\n3\t1\t2\ty\n")
    labels = write("labels.tsv", "10\t5\t11\tx\n0\t0\t1\ty\n")
    with pytest.raises(TriplesError, match=rf"ids\.tsv: {QUESTION}"):
        ingest_groups(ids, store, tmp_path / "a")
    found = [
        ingest_groups(ids, store, tmp_path / "b", options=GroupOptions(ids=True)),
        ingest_groups(labels, store, tmp_path / "c", options=GroupOptions(labels=True)),
    ]
    assert [groups.read(0, 2).tolist() for groups in found] == [[0, 1], [0, 1]]


def test_a_training_is_refused_until_integers_are_stated(write, maps):
    files = {"train": write("train.txt", 2 * LINE), "valid": write("valid.txt", LINE), **maps}
    with pytest.raises(TriplesError, match=rf"train\.txt: {QUESTION}"):
        read_graph(GraphFiles(**files))
    for stated, expected in (("ids", AS_IDS), ("labels", AS_LABELS)):
        data = read_graph(GraphFiles(**files, **{stated: True})).data
        assert (data.train.tolist(), data.valid.tolist()) == (2 * expected, expected)


def test_a_training_on_words_takes_the_option_for_ids_too(write):
    text = write("train.txt", "1\tlikes\t0\n0\tlikes\t2\n")
    assert read_graph(GraphFiles(train=text, ids=True)).data.train.tolist() == [[1, 0, 0], [0, 0, 2]]


def test_a_label_with_leading_zeros_is_no_id():
    letters = {"entity": IdMap.of(["00", "x"])}
    assert are_ids(lambda: True, letters, labels=False, ids=False, where="here")
