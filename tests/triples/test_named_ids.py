"""Labels first, then readable names that only one id has; names of several are refused with their candidates."""

import gzip
import json
import re

import pytest

from tracin_dask.errors import TriplesError
from tracin_dask.triples.idmap import AMBIGUOUS_NAME, UNKNOWN, IdMap
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.named import NamedIds, named_ids
from tracin_dask.triples.suggestions import meant
from tracin_dask.triples.tests_in_file import read_tests, read_tests_in_sets
from tracin_dask.triples.training_triples import read_training_triples

ENTITIES = ["Compound::DB01586", "CHEBI:15365", "MONDO:1", "MONDO:2", "MONDO:3", *(f"HP:{n}" for n in range(8))]
NAMES = ["acid, 2-(β)", 'aspirin "acetyl"', "flu", "flu", "CHEBI:15365", *["sign"] * 7, "7"]
HARD = 'aspirin "acetyl"'


@pytest.fixture
def store(write, tmp_path):
    lines = [f"{ENTITIES[0]}\tpredicate:{n}\t{label}\n" for n, label in enumerate(ENTITIES)]
    keys = [{"predicate": "affects", "object_direction_qualifier": way} for way in ("", "increased", "decreased")]
    edges = {json.dumps(key): f"predicate:{number}" for number, key in enumerate(keys)}
    options = IngestOptions(
        entity_names=write("names.txt", "".join(f"{label}\t{n}\n" for label, n in zip(ENTITIES, NAMES, strict=True))),
        edge_map=write("edge_map.json", json.dumps(edges)),
    )
    return ingest(write("train.txt", "".join(lines)), tmp_path / "g.zarr", options=options)


def ids(store, *texts):
    return named_ids(store)[0].ids(list(texts)).tolist()


def label_id(store, label):
    return int(store.entities.ids([label])[0])


def test_a_label_comes_before_a_name_and_a_unique_name_is_found(store):
    expected = [label_id(store, label) for label in ("CHEBI:15365", "CHEBI:15365", "Compound::DB01586")]
    assert ids(store, "CHEBI:15365", HARD, "acid, 2-(β)") == expected


def test_names_of_several_unknown_texts_and_bare_integers_are_no_ids(store):
    assert ids(store, "flu", "nothing", "7", "") == [AMBIGUOUS_NAME, UNKNOWN, UNKNOWN, UNKNOWN]


def test_names_are_not_read_where_all_texts_are_labels():
    def fail():
        raise AssertionError("names are read only if they are needed")

    lookup = NamedIds(labels=IdMap.of("abc"), read_names=fail)
    assert lookup.ids(["c", "a"]).tolist() == [2, 0]
    with pytest.raises(AssertionError):
        lookup.ids(["c", "x"])


def test_relations_of_one_predicate_are_found_by_their_qualifiers(store):
    found = named_ids(store)[1].ids(["affects", "affects (increased)", "affects (decreased)"])
    assert found.tolist() == store.relations.ids(["predicate:0", "predicate:1", "predicate:2"]).tolist()


@pytest.mark.parametrize(
    ("given", "role", "message"),
    [
        ("DB01586", "head", r"\(did you mean Compound::DB01586\?\)"),
        ("15365", "head", r"\(did you mean CHEBI:15365"),
        ("DRUG:DB01586", "tail", r"\(did you mean Compound::DB01586\?\)"),
        ("asprin acetyl", "head", rf"\(did you mean {HARD} \(CHEBI:15365\)\?\)"),
        ("affects (increase)", "relation", r"\(did you mean affects \(increased\) \(predicate:1\)"),
        (
            "sign",
            "head",
            r"\(it is the readable name of 7 entities: HP:0 \(id 2\), .* and 2 more; give the label of one\)",
        ),
    ],
)
def test_near_misses_are_suggested_and_never_taken(store, given, role, message):
    assert named_ids(store)[role == "relation"].ids([given])[0] < 0
    assert re.search(message, meant(store, given, role))


@pytest.mark.parametrize("packed", [False, True])
def test_files_of_test_and_training_triples_take_names(write, store, packed):
    text = f"acid, 2-(β)\taffects (increased)\t{HARD}\n".encode()
    path = write("listed.tsv.gz" if packed else "listed.tsv", gzip.compress(text) if packed else text)
    expected = [[label_id(store, "Compound::DB01586"), 1, label_id(store, "CHEBI:15365")]]
    expected[0][1] = int(store.relations.ids(["predicate:1"])[0])
    assert read_tests(path, store).triples.tolist() == expected
    assert read_training_triples(path, store).triples.tolist() == expected
    sets = write("sets.tsv", text.strip() + b"\tone\n")
    assert read_tests_in_sets(sets, store).triples.tolist() == expected


def test_an_ambiguous_name_in_a_file_is_refused_with_its_line_and_candidates(write, store):
    path = write("test.txt", f"acid, 2-(β)\taffects\t{HARD}\nacid, 2-(β)\taffects\tflu\n")
    candidates = r"it is the readable name of 2 entities: MONDO:1 \(id \d+\), MONDO:2 \(id \d+\); give the label of one"
    with pytest.raises(TriplesError, match=rf"test\.txt, line 2: ambiguous tail name: .* \({candidates}\)"):
        read_tests(path, store)
    assert read_tests(path, store, skip_invalid=True).skipped == {"ambiguous tail name": 1}
