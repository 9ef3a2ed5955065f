"""Paths and metapaths as tables: every column by hand, and text that a terminal does not obey."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_paths import result_of, triples_with
from made_results import made_result

import tracin_dask
from tracin_dask.errors import ResultError
from tracin_dask.places.registry import place_of
from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.paths.metapaths import NO_TYPE, entity_types
from tracin_dask.report.table_file import write_table

NAMES = {0: "aspirin", 2: "pain"}
STEPS = [(0, 0, 3), (2, 1, 3), (3, 0, 2)]


def named():
    return result_of(STEPS, [8.0, 2.0, -1.0], names=NAMES)


def test_the_table_of_paths_has_ids_labels_names_and_lines_in_the_order_of_the_path():
    first, second = tracin_dask.path_table(named(), measure="geometric").to_pylist()
    assert first == {
        "test_index": 0,
        "path": 1,
        "hops": 2,
        "score": pytest.approx(4.0),
        "text": "aspirin -[predicate:0]-> CHEBI:3 <-[predicate:1]- pain",
        "nodes": [0, 3, 2],
        "node_labels": ["CHEBI:0", "CHEBI:3", "CHEBI:2"],
        "node_names": ["aspirin", None, "pain"],
        "relations": [0, 1],
        "relation_labels": ["predicate:0", "predicate:1"],
        "backwards": [False, True],
        "influences": [8.0, 2.0],
        "train_index": [0, 1],
    }
    assert (second["path"], second["score"], second["train_index"]) == (2, None, [0, 2])


def test_the_table_of_paths_has_the_chosen_answers_and_else_all():
    rankings = (triples_with(STEPS, [3.0, 2.0, 1.0]), triples_with([], []), triples_with(STEPS[:2], [1.0, 1.0]))
    tests, further = np.array([[0, 1, 2]] * 3), (triples_with([], []),) * 3
    given = made_result(rankings[0], test_triples=tests, rankings=rankings, further=further)
    assert tracin_dask.path_table(given)["test_index"].to_pylist() == [0, 0, 2]
    assert tracin_dask.path_table(given, [2])["test_index"].to_pylist() == [2]
    nothing = tracin_dask.path_table(given, [1])
    assert (nothing.num_rows, nothing.schema) == (0, tracin_dask.path_table(given).schema)
    (row,) = [row for row in tracin_dask.metapath_counts(given).to_pylist() if row["backwards"] == [False, True]]
    assert (row["num_paths"], row["num_answers"], row["score_sum"]) == (2, 2, 3.5)


def test_metapaths_equal_those_by_hand():
    steps = [(0, 0, 3), (3, 1, 2), (0, 0, 4), (4, 1, 2), (2, 1, 3)]
    counts = tracin_dask.metapath_counts(
        result_of(steps, [4.0, 3.0, 2.0, 1.0, 0.5]),
        types={"CHEBI:0": "drug", "CHEBI:3": "gene", "CHEBI:4": "gene"},
    )
    assert counts.to_pylist() == [
        {
            "metapath": f"drug -[predicate:0]-> gene {arrow} (no type)",
            "hops": 2,
            "num_paths": number,
            "num_answers": 1,
            "score_sum": score,
            "types": ["drug", "gene", NO_TYPE],
            "relations": [0, 1],
            "relation_labels": ["predicate:0", "predicate:1"],
            "backwards": [False, is_backwards],
        }
        for arrow, number, score, is_backwards in [
            ("-[predicate:1]->", 2, 5.0, False),
            ("<-[predicate:1]-", 1, 2.25, True),
        ]
    ]


def test_metapaths_without_a_score_are_last_and_their_sum_is_null():
    given = result_of([(0, 0, 3), (3, 1, 2), (0, 0, 4), (2, 1, 4)], [9.0, -1.0, 1e-3, 1e-3])
    counts = tracin_dask.metapath_counts(given, measure="harmonic")
    assert counts["backwards"].to_pylist() == [[False, True], [False, False]]
    assert counts["score_sum"].to_pylist() == [pytest.approx(1e-3), None]
    assert counts["num_paths"].to_pylist() == [1, 1]


def test_relations_that_share_a_name_make_different_metapaths():
    given = result_of([(0, 0, 3), (3, 0, 2), (3, 1, 2)], [3.0, 2.0, 1.0])
    relations = Texts.of({0: ("predicate:0", "affects"), 1: ("predicate:1", "affects")})
    labels = Labels(entities=given.labels.entities, relations=relations)
    counts = tracin_dask.metapath_counts(tracin_dask.InfluenceResult(**_parts(given) | {"labels": labels}))
    assert counts["metapath"].to_pylist() == ["CHEBI -[affects]-> CHEBI -[affects]-> CHEBI"] * 2
    assert counts["relation_labels"].to_pylist() == [["predicate:0"] * 2, ["predicate:0", "predicate:1"]]


def _parts(result):
    return {name: getattr(result, name) for name in type(result).__dataclass_fields__}


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("CHEBI:34911", "CHEBI"),
        ("Compound::DB01586", "Compound"),
        ("Gene::entrez:5", "Gene"),
        ("aspirin", NO_TYPE),
        (":5", NO_TYPE),
        ("CHEBI:", NO_TYPE),
        ("CHEBI::", NO_TYPE),
        ("some words: more", NO_TYPE),
        ("http://example.org/x", NO_TYPE),
    ],
)
def test_the_type_of_an_entity_is_the_prefix_of_its_label(label, expected):
    assert entity_types(Texts.of({5: (label, None)}), None) == {5: expected}


def test_text_of_paths_shows_what_a_terminal_would_obey():
    given = result_of(STEPS[:2], [1.0, 1.0], names={0: "\x1b[31mred", 2: "pain"})
    assert tracin_dask.path_table(given)["text"].to_pylist()[0].startswith(r"\x1b[31mred -[")
    (row,) = tracin_dask.metapath_counts(given, types={"CHEBI:0": "\x1b[2J"}).to_pylist()
    assert row["metapath"].startswith(r"\x1b[2J -[")
    assert row["types"][0] == "\x1b[2J"


def test_a_table_is_the_same_in_every_format(tmp_path):
    table = tracin_dask.path_table(named())
    for suffix in (".json", ".parquet", ".csv", ".tsv"):
        write_table(table, place_of(tmp_path / "new" / f"paths{suffix}"))
    assert json.loads((tmp_path / "new/paths.json").read_text()) == table.to_pylist()
    assert pq.read_table(tmp_path / "new/paths.parquet").equals(table)
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        with (tmp_path / f"new/paths{suffix}").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
        assert [json.loads(row["node_names"]) for row in rows] == table["node_names"].to_pylist()
        assert [float(row["score"]) for row in rows] == table["score"].to_pylist()
        assert [row["text"] for row in rows] == table["text"].to_pylist()


def test_a_table_in_an_unknown_format_is_refused(tmp_path):
    table = tracin_dask.path_table(named())
    for name, found in (("paths.xlsx", "ends in .xlsx"), ("paths", "has no suffix")):
        with pytest.raises(ResultError, match=rf"{found}, but the suffix chooses .* \.csv, \.tsv, \.parquet, \.json"):
            write_table(table, place_of(tmp_path / name))
        assert not (tmp_path / name).exists()
