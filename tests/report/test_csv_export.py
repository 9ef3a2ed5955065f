"""`--csv`: a table per test triple and a summary, in the shape that TiePin's readers know."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from made_results import made_result, ranked

from tracin_dask.errors import ResultError
from tracin_dask.places.registry import place_of
from tracin_dask.report.exports.base import ExportOptions, ExtraColumn
from tracin_dask.report.exports.csv import EXPORT, SUMMARY
from tracin_dask.report.exports.file_names import MOST_BYTES, file_stem, safe
from tracin_dask.report.exports.write import write_exports
from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.report.sets import TestSets

COLUMNS = [
    *("TestHead", "TestHead_label", "TestRel", "TestRel_label", "TestTail", "TestTail_label"),
    *("TrainHead", "TrainHead_label", "TrainRel", "TrainRel_label", "TrainTail", "TrainTail_label"),
    *("TracInScore", "SelfInfluence"),
]
NAMES = {0: 'acid, "strong"', 4: "=cmd()"}
OWN = SelfInfluences(test=np.array([0.5, 0.25]), train=(np.array([3.0, 0.1 + 0.2]), np.array([])))
FIRST, SECOND = "triple_000_CHEBI_0_CHEBI_2_tracin.csv", "triple_001_CHEBI_3_CHEBI_4_tracin.csv"


def two_tests(**others):
    """Give the result of two test triples, the second of which has an empty ranking."""
    rankings = (ranked([0.1 + 0.2, -1e-17]), ranked([]))
    usual = {"test_triples": np.array([[0, 1, 2], [3, 0, 4]]), "rankings": rankings, "further": (ranked([]),) * 2}
    return made_result(rankings[0], NAMES, **usual | others)


def write(result, folder, *, overwrite=False, **options):
    done = write_exports(result, place_of(folder), [EXPORT], ExportOptions(**options), overwrite=overwrite)
    return [file.name for _, files in done for file in files]


def read(path):
    return pd.read_csv(path)


def test_a_table_has_the_known_columns_with_labels_and_names(tmp_path):
    assert write(two_tests(), tmp_path) == [FIRST, SECOND, SUMMARY]
    table = read(tmp_path / FIRST)
    assert list(table.columns) == COLUMNS
    first = table.iloc[0].to_dict()
    assert (first["TestHead"], first["TestHead_label"]) == ("CHEBI:0", 'acid, "strong"')
    assert (first["TestRel"], first["TestRel_label"]) == ("predicate:1", "predicate:1")
    assert (first["TestTail"], first["TestTail_label"]) == ("CHEBI:2", "CHEBI:2")
    assert (first["TrainHead"], first["TrainRel"], first["TrainTail"]) == ("CHEBI:0", "predicate:0", "CHEBI:2")
    assert table["TracInScore"].tolist() == [0.1 + 0.2, -1e-17]
    assert table["SelfInfluence"].isna().all()
    assert (tmp_path / SECOND).read_text() == f"{','.join(COLUMNS)}\n"


def test_readable_relations_stand_beside_their_labels(tmp_path):
    given = two_tests()
    relations = Texts.of({0: ("predicate:0", "biolink:treats"), 1: ("predicate:1", None)})
    write(replace(given, labels=Labels(entities=given.labels.entities, relations=relations)), tmp_path)
    assert read(tmp_path / FIRST)["TrainRel_label"].tolist() == ["biolink:treats", "predicate:1"]


def test_self_influence_is_that_of_the_test_triple_in_every_row(tmp_path):
    write(two_tests(self_influences=OWN), tmp_path)
    assert read(tmp_path / FIRST)["SelfInfluence"].tolist() == [0.5, 0.5]


def test_the_self_influence_of_training_triples_is_a_column_of_its_own(tmp_path):
    write(two_tests(self_influences=OWN), tmp_path, train_self_influence=True)
    table = read(tmp_path / FIRST)
    assert list(table.columns) == [*COLUMNS, "TrainSelfInfluence"]
    assert table["TrainSelfInfluence"].tolist() == [3.0, 0.1 + 0.2]
    with pytest.raises(ResultError, match="the result has no self-influences; run again with --also-self-influence"):
        write(two_tests(), tmp_path / "none", train_self_influence=True)
    assert not (tmp_path / "none").exists()


def test_notes_say_why_self_influence_is_empty_and_what_the_score_is():
    [line] = EXPORT.notes(two_tests(), ExportOptions())
    assert line.endswith("the run did not compute it; run again with --also-self-influence")
    assert EXPORT.notes(two_tests(self_influences=OWN), ExportOptions()) == []
    score, own = EXPORT.notes(two_tests(run={"curvature": "landmarks", "normalize": "cosine"}), ExportOptions())
    assert score == "TracInScore is the influence as the run computed it: normalize cosine, curvature landmarks"
    assert "with curvature landmarks" in own


def test_the_summary_has_the_known_keys(tmp_path):
    write(two_tests(run={"masks": {"touching": "either"}}), tmp_path)
    summary = json.loads((tmp_path / SUMMARY).read_text())
    listed = summary.pop("results")
    assert summary == {
        "total_triples": 2,
        "successful": 2,
        "failed_filtering": 0,
        "failed_tracin": 0,
        "skipped": 0,
        "filter_method": "touching",
    }
    assert listed[1] == {
        "index": 1,
        "triple": {"head": "CHEBI:3", "relation": "predicate:0", "tail": "CHEBI:4"},
        "base_name": "triple_001_CHEBI_3_CHEBI_4",
        "filtering_success": True,
        "tracin_success": True,
        "filtered_train_file": None,
        "output_csv": str(tmp_path / SECOND),
    }


def test_names_are_made_harmless_unless_raw_text_is_asked(tmp_path):
    given = two_tests(self_influences=OWN)
    swapped = replace(given, rankings=(given.rankings[0], ranked([1.0])), self_influences=None)
    write(swapped, tmp_path / "safe")
    write(swapped, tmp_path / "raw", raw_text=True)
    assert read(tmp_path / "safe" / SECOND)["TestTail_label"].tolist() == ["'=cmd()"]
    assert read(tmp_path / "raw" / SECOND)["TestTail_label"].tolist() == ["=cmd()"]


def test_further_columns_stand_behind_the_known_ones(tmp_path):
    truth = ExtraColumn(values=(pa.array([True, None]), pa.array([], pa.bool_())), csv_name="IsGroundTruth")
    hops = ExtraColumn(values=(pa.array([1, 2]), pa.array([], pa.int64())))
    write(two_tests(), tmp_path, columns={"is_ground_truth": truth, "hops": hops})
    table = read(tmp_path / FIRST)
    assert list(table.columns) == [*COLUMNS, "IsGroundTruth"]
    assert table["IsGroundTruth"].iloc[0]


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ({"test_triples": None, "rankings": (ranked([1.0]),)}, r"self-influences \(--mode self\)"),
        ({"sets": TestSets(names=("a", "b"), of_test=np.array([0, 1]))}, r"sets of test triples \(--together\)"),
        ({"contrast_tails": np.array([1, 1])}, r"one tail against another \(--contrast\)"),
    ],
)
def test_answers_about_something_else_are_refused_before_anything_is_written(tmp_path, others, found):
    result = replace(two_tests(), **others)
    with pytest.raises(ResultError, match=f"--csv .* this result is about {found}, .*; choose --tsv or --parquet"):
        write(result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("CHEBI:34911", "CHEBI_34911"),
        ("a/b c", "a_b_c"),
        ('..\\x*?"<>|', ".._x______"),
        ("null\0\x1b\u202e\n", "null____"),
        ("Ménière", "Ménière"),
        ("α" * 99, "α" * (MOST_BYTES // 2)),
    ],
)
def test_labels_in_file_names_hold_only_what_every_file_system_takes(label, expected):
    assert safe(label) == expected


def test_long_labels_that_begin_alike_get_different_files(tmp_path):
    given = two_tests(test_triples=np.array([[0, 1, 2], [2, 1, 0]]))
    texts = Texts.of({number: ("x/" * 200 + str(number), None) for number in given.labels.entities.ids.tolist()})
    names = write(replace(given, labels=Labels(entities=texts, relations=given.labels.relations)), tmp_path)
    assert len(set(names)) == 3
    assert max(len(name.encode()) for name in names) < 143
    assert file_stem(1000, "a", "b") == "triple_1000_a_b"


def test_files_that_exist_are_refused_unless_they_are_to_be_overwritten(tmp_path):
    write(two_tests(), tmp_path)
    (tmp_path / FIRST).write_text("mine")
    with pytest.raises(ResultError, match=r"3 of the files exist already, e\.g\. triple_000_.*--overwrite"):
        write(two_tests(), tmp_path)
    assert (tmp_path / FIRST).read_text() == "mine"
    write(two_tests(), tmp_path, overwrite=True)
    assert list(read(tmp_path / FIRST).columns) == COLUMNS


def test_overwriting_removes_the_tables_that_the_earlier_summary_lists_and_nothing_else(tmp_path):
    write(two_tests(), tmp_path)
    (tmp_path / "triple_009_mine_tracin.csv").write_text("")
    single = made_result(ranked([1.0]), test_triples=np.array([[5, 1, 6]]))
    write(single, tmp_path, overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        SUMMARY,
        "triple_000_CHEBI_5_CHEBI_6_tracin.csv",
        "triple_009_mine_tracin.csv",
    ]
    (tmp_path / SUMMARY).write_text("{}")
    assert write(two_tests(), tmp_path, overwrite=True) == [FIRST, SECOND, SUMMARY]
