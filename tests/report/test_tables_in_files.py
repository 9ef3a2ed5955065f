"""Results as CSV, TSV and Parquet: one long table, with all digits, and quoted where it must be."""

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import made_groups, made_result, ranked
from result_bits import result_bits

from tracin_dask import read_result, write_result
from tracin_dask.errors import ResultError
from tracin_dask.report.parquet import KEY
from tracin_dask.report.ranks import ListedRanks
from tracin_dask.report.result import SCHEMA_VERSION, Norms

NAMES = {0: 'acid, "strong"\n(one)', 2: "α\tβ"}
TRIPLE = [f"{role}{end}" for role in ("head", "relation", "tail") for end in ("", "_label", "_name")]
TRIPLE.remove("relation_name")


def two_tests(**others):
    """Give the result of two test triples, the second of which has an empty ranking."""
    tests = np.array([[0, 1, 2], [3, 0, 4]])
    rankings = (ranked([0.1 + 0.2, -1e-17]), ranked([]))
    further = (ranked([-1e-300], 7), ranked([]))
    return made_result(rankings[0], NAMES, test_triples=tests, rankings=rankings, further=further, **others)


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_text_tables_have_a_header_all_digits_and_quotes(tmp_path, suffix, delimiter):
    given = two_tests()
    write_result(given, tmp_path / f"why{suffix}")
    with (tmp_path / f"why{suffix}").open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file, delimiter=delimiter))
    parts = [f"{side}_{part}" for side in ("test", "train") for part in TRIPLE]
    assert header == ["test_index", *parts[:8], "rank", *parts[8:], "influence", "train_index"]
    first, second = (dict(zip(header, row, strict=True)) for row in rows)
    assert (first["influence"], second["influence"]) == ("0.30000000000000004", "-1e-17")
    assert (first["train_head_name"], second["train_head_name"]) == (NAMES[0], "")
    assert (first["test_tail_name"], first["test_relation"], second["rank"]) == ("α\tβ", "1", "2")
    table = pd.read_csv(tmp_path / f"why{suffix}", sep=delimiter)
    assert table["influence"].tolist() == given.rankings[0].influence.tolist()
    assert b"\r" not in (tmp_path / f"why{suffix}").read_bytes()


def test_text_tables_of_self_influence_have_no_test_columns(tmp_path):
    write_result(made_result(ranked([2.0]), test_triples=None), tmp_path / "why.csv")
    header, row = (tmp_path / "why.csv").read_text().splitlines()
    assert header.startswith("rank,train_head,train_head_label,train_relation,")
    assert header.endswith("train_tail_label,self_influence,train_index")
    assert row == "1,0,CHEBI:0,0,predicate:0,2,CHEBI:2,2.0,0"


def test_text_tables_have_a_column_for_each_checkpoint_and_norms(tmp_path):
    parts = (np.array([[0.5, -0.25], [0.125, 0.0]]),)
    norms = Norms(test=np.array([3.0]), train=(np.array([4.0, 5.0]),))
    given = made_result(ranked([0.25, 0.125]), contributions=parts, norms=norms, contrast_tails=np.array([1]))
    write_result(given, tmp_path / "why.csv")
    table = pd.read_csv(tmp_path / "why.csv")
    assert table["influence_by_checkpoint_1"].tolist() == [0.5, 0.125]
    assert table["influence_by_checkpoint_2"].tolist() == [-0.25, 0.0]
    assert table["train_gradient_norm"].tolist() == [4.0, 5.0]
    assert table["test_gradient_norm"].tolist() == [3.0, 3.0]
    assert table["contrast_tail_label"].tolist() == ["CHEBI:1", "CHEBI:1"]


def test_an_empty_result_has_a_header(tmp_path):
    nothing = made_result(ranked([]), contributions=(np.empty((0, 2)),))
    write_result(nothing, tmp_path / "why.csv")
    assert (
        (tmp_path / "why.csv")
        .read_text()
        .splitlines()[0]
        .endswith("influence,influence_by_checkpoint_1,influence_by_checkpoint_2,train_index")
    )
    assert len((tmp_path / "why.csv").read_text().splitlines()) == 1


def grouped():
    """Give a result of two test triples with three groups, one of which has a name."""
    values = np.array([[0.1, 1.0], [-0.2, 2.0], [0.3, -3.0]])
    groups = made_groups("head", values, np.arange(3), [None, "a,b", None])
    return replace(two_tests(run={"groupings": [{"group_by": "head"}]}), groups=(groups,))


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_all_groups_lie_beside_a_text_table(tmp_path, suffix):
    write_result(grouped(), tmp_path / f"why{suffix}")
    table = pd.read_csv(tmp_path / f"why.groups{suffix}", sep="," if suffix == ".csv" else "\t")
    assert table["group"].tolist() == [2, 1, 0, 2, 1, 0]
    assert table["group_name"].fillna("").tolist() == ["", "a,b", ""] * 2
    assert table["net_influence"].tolist() == [0.3, -0.2, 0.1, -3.0, 2.0, 1.0]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_the_ranks_of_listed_triples_lie_beside_a_text_table(tmp_path, suffix):
    ranks = ListedRanks(
        triples=np.array([[0, 1, 2], [3, 0, 4]]),
        train_index=np.array([7, 9]),
        influence=np.array([[0.1 + 0.2, -2.0], [4.0, 5.0]]),
        rank=np.array([[1, 3], [2, 0]]),
        num_ranked=np.array([3, 2]),
    )
    write_result(two_tests(ranks=ranks), tmp_path / f"why{suffix}")
    table = pd.read_csv(tmp_path / f"why.ranks{suffix}", sep="," if suffix == ".csv" else "\t")
    assert table["test_index"].tolist() == [0, 0, 1, 1]
    assert table["test_head"].tolist() == [0, 0, 3, 3]
    assert table["rank"].fillna(-1).tolist() == [1, 3, 2, -1]
    assert table["percentile"].fillna(-1).tolist() == [100, 0, 0, -1]
    assert table["influence"].tolist() == [0.1 + 0.2, -2.0, 4.0, 5.0]
    assert table["train_index"].tolist() == [7, 9, 7, 9]
    assert table["train_head_name"].fillna("").tolist() == [NAMES[0], ""] * 2


def test_a_parquet_file_holds_many_test_triples_and_its_groups_beside(tmp_path):
    given = grouped()
    write_result(given, tmp_path / "why.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["why.groups.parquet", "why.parquet"]
    assert result_bits(read_result(tmp_path / "why.parquet")) == result_bits(given)
    (tmp_path / "why.groups.parquet").unlink()
    listed = read_result(tmp_path / "why.parquet", all_groups=False)
    assert result_bits(listed.groups) == result_bits(given.groups)
    with pytest.raises(ResultError, match=r"why\.groups\.parquet: missing, but it has the totals of all groups"):
        read_result(tmp_path / "why.parquet")


def test_columns_of_a_parquet_file_have_types(tmp_path):
    write_result(two_tests(contributions=(np.zeros((2, 3)), np.zeros((0, 3)))), tmp_path / "why.parquet")
    schema = pq.read_schema(tmp_path / "why.parquet")
    types = {"test_index": pa.int64(), "train_head": pa.int64(), "train_head_label": pa.string()}
    types |= {"influence": pa.float64(), "influence_by_checkpoint": pa.list_(pa.float64()), "train_index": pa.int64()}
    assert {name: schema.field(name).type for name in types} == types


def test_parquet_files_that_hold_no_result_are_refused(tmp_path):
    path = tmp_path / "why.parquet"
    write_result(two_tests(), path)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(), path)
    with pytest.raises(ResultError, match=r"why\.parquet: a table without the rest of the result, .*--output"):
        read_result(path)
    pq.write_table(table.replace_schema_metadata({KEY: b"nonsense"}), path)
    with pytest.raises(ResultError, match=r"why\.parquet: no result of tracin-dask, or a damaged one"):
        read_result(path)
    path.write_bytes(b"PAR1 cut off")
    with pytest.raises(ResultError, match=r"why\.parquet: cannot be read as Parquet"):
        read_result(path)
    with pytest.raises(ResultError, match=r"gone\.parquet: no such file or folder"):
        read_result(tmp_path / "gone.parquet")


def test_a_parquet_file_of_a_newer_version_is_refused(tmp_path):
    write_result(two_tests(run={"schema_version": SCHEMA_VERSION + 1}), tmp_path / "why.parquet")
    with pytest.raises(
        ResultError, match=rf"why\.parquet: schema version {SCHEMA_VERSION + 1}, written by tracin-dask"
    ):
        read_result(tmp_path / "why.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_text_tables_are_not_read_back(tmp_path, suffix):
    write_result(two_tests(), tmp_path / f"why{suffix}")
    match = rf"a {suffix} file holds the rankings only; read the result from \.json, \.parquet or a folder"
    with pytest.raises(ResultError, match=match):
        read_result(tmp_path / f"why{suffix}")


def test_a_number_that_json_does_not_have_leaves_the_old_parquet_file(tmp_path):
    write_result(two_tests(), tmp_path / "why.parquet")
    before = (tmp_path / "why.parquet").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(two_tests(run={"seconds": float("nan")}), tmp_path / "why.parquet")
    assert (tmp_path / "why.parquet").read_bytes() == before
    assert json.loads(json.dumps(two_tests().to_dict(1)))["influences"] == []
