"""Results in files: the suffix chooses the format, older files stay readable, and what is not a result is refused."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from made_results import made_result, ranked
from result_bits import result_bits

from tracin_dask import read_result, write_result
from tracin_dask.errors import ResultError
from tracin_dask.report.result import SCHEMA_VERSION


def many():
    """Give the result of two test triples."""
    tests = np.array([[0, 1, 2], [3, 0, 4]])
    return made_result(
        ranked([0.1]), test_triples=tests, rankings=(ranked([0.1]), ranked([-0.2])), further=(ranked([]), ranked([0.3]))
    )


def written(path, **changes):
    """Write a JSON result with some keys changed or, if they are None, left out."""
    contents = made_result(ranked([0.1, -0.2])).to_dict() | changes
    path.write_text(json.dumps({key: value for key, value in contents.items() if value is not None}))
    return path


@pytest.mark.parametrize("name", ["why.txt", "why", "why.JSONL"])
def test_a_suffix_without_a_format_is_refused(tmp_path, name):
    refusal = r"but the suffix chooses the format of a result: \.json"
    with pytest.raises(ResultError, match=refusal):
        write_result(many(), tmp_path / name)
    assert not list(tmp_path.iterdir())
    (tmp_path / name).touch()
    with pytest.raises(ResultError, match=refusal):
        read_result(tmp_path / name)


@pytest.mark.parametrize("name", ["why", "why.json", "why.txt"])
def test_what_is_not_there_is_called_so(tmp_path, name):
    with pytest.raises(ResultError, match=f"{name}: no such file or folder"):
        read_result(tmp_path / name)


def test_results_are_equal_if_all_their_parts_are():
    assert many() == many()
    names = (None, "b")
    for other in (
        replace(many(), top_k=3),
        replace(many(), rankings=(ranked([0.1]), ranked([-0.3]))),
        replace(many(), num_ranked=np.array([1, 1])),
        replace(many(), kept={"count": names}),
        replace(many(), contrast_tails=np.array([1, 2])),
    ):
        assert other != many()
        assert other == replace(other)
    assert many() != "a result"
    unknown = replace(many(), rankings=(ranked([float("nan")]), ranked([])))
    assert unknown == replace(unknown, rankings=(ranked([float("nan")]), ranked([])))


def test_a_json_file_takes_one_test_triple(tmp_path):
    with pytest.raises(
        ResultError,
        match=r"why\.json: there are 2 answers and a \.json file takes one; write ",
    ):
        write_result(many(), tmp_path / "why.json")
    many().write_json(tmp_path / "second.json", 1)
    second = read_result(tmp_path / "second.json")
    assert second.test_triples.tolist() == [[3, 0, 4]]
    assert second.side("proponents").influence.tolist() == [0.3]


def test_folders_of_a_file_are_made(tmp_path):
    given = made_result(ranked([0.1 + 0.2, -1e-300, -0.0]))
    write_result(given, tmp_path / "deep" / "er" / "why.JSON")
    assert result_bits(read_result(tmp_path / "deep" / "er" / "why.JSON")) == result_bits(given)


def test_a_result_of_an_earlier_schema_is_read_as_one_of_this(tmp_path):
    run = made_result(ranked([])).run
    path = written(tmp_path / "why.json", run={**run, "schema_version": 2})
    found = read_result(path)
    assert found.run["schema_version"] == SCHEMA_VERSION
    assert found.rankings[0].influence.tolist() == [0.1, -0.2]
    assert len(found.further[0]) == 0


def test_groups_of_an_earlier_schema_are_those_that_each_file_lists(tmp_path):
    group = {"group_label": "a", "num_training_triples": 2, "positive_influence": 1.0, "negative_influence": -0.5}
    paths = []
    for number, listed in enumerate([[1, 5], [5, 7]]):
        groups = [{"group": place, **group, "net_influence": 0.5 * place} for place in listed]
        triple = {"head": number, "relation": 0, "tail": 1, "head_label": "h", "relation_label": "r", "tail_label": "t"}
        totals = [{"group_by": "head", "num_groups": 300, "groups": groups}]
        paths.append(written(tmp_path / f"triple_{number}_0_1.json", test_triple=triple, group_totals=totals))
    run = json.loads(paths[0].read_text())["run"]
    results = [{"index": number, "file": path.name} for number, path in enumerate(paths)]
    (tmp_path / "summary.json").write_text(json.dumps({"num_results": 2, "results": results, "run": run}))
    (groups,) = read_result(tmp_path).groups
    assert groups.num_groups == 300
    assert groups.groups.tolist() == [1, 5, 7]
    assert [groups.table(test)["group"].to_pylist() for test in (0, 1)] == [[5, 1], [7, 5]]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"influences": None}, "'influences' is missing"),
        ({"run": None}, "'run' is missing"),
        ({"run": {"loss": "bce"}}, "'schema_version' is missing"),
        ({"influences": [{"train_head": 1}]}, "'train_relation' is missing"),
        ({"influences": 3}, ""),
        ({"test_triple": "a"}, ""),
        ({"top_k": None}, "'top_k' is missing"),
    ],
)
def test_an_object_that_is_no_result_is_refused_by_what_it_lacks(tmp_path, changes, what):
    path = written(tmp_path / "why.json", **changes)
    match = rf"(?s)why\.json: no result of tracin-dask, or a damaged one.*{what}.*give a file"
    with pytest.raises(ResultError, match=match):
        read_result(path)


@pytest.mark.parametrize(
    ("key", "value"), [("influence", "0.5"), ("influence", True), ("train_index", 1.5), ("train_head", None)]
)
def test_numbers_of_another_type_are_refused(tmp_path, key, value):
    (entry, _) = made_result(ranked([0.1, -0.2])).to_dict()["influences"]
    path = written(tmp_path / "why.json", influences=[entry | {key: value}])
    with pytest.raises(ResultError, match=r"why\.json: no result of tracin-dask, or a damaged one"):
        read_result(path)


def test_a_file_that_is_no_json_or_cut_off_or_missing_is_refused(tmp_path):
    text = written(tmp_path / "why.json").read_text()
    for contents in (text[:100], "head\trelation\ttail\n", "", "[1, 2]"):
        (tmp_path / "why.json").write_text(contents)
        with pytest.raises(ResultError, match=r"why\.json: no (JSON|result of tracin-dask), or a damaged (file|one)"):
            read_result(tmp_path / "why.json")
    with pytest.raises(ResultError, match=r"gone\.json: no such file or folder"):
        read_result(tmp_path / "gone.json")


def test_what_a_newer_version_wrote_is_refused_with_both_versions(tmp_path):
    run = {"schema_version": SCHEMA_VERSION + 1, "tracin_dask_version": "9.9"}
    path = written(tmp_path / "why.json", run=run)
    with pytest.raises(ResultError, match=rf"version {SCHEMA_VERSION + 1}, written by tracin-dask 9\.9; .*up to vers"):
        read_result(path)


def test_a_result_is_read_without_torch_store_or_dask(tmp_path):
    write_result(replace(made_result(ranked([0.5])), top_k=1), tmp_path / "why.json")
    code = (
        "import sys, tracin_dask; tracin_dask.read_result(sys.argv[1]).to_pandas();"
        "print([name for name in ('torch', 'zarr', 'dask', 'distributed') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "why.json"], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
