"""`tracin-dask show`: prints a result again, without the model, the training triples or a large library."""

import json
import subprocess
import sys

import numpy as np
import pytest
from made_results import made_groups, made_result, ranked

from tracin_dask import write_result
from tracin_dask.errors import ResultError
from tracin_dask.report.sets import TestSets


@pytest.fixture
def folder(tmp_path):
    """Write the result of twelve test triples with groups, the names of two of which are known."""
    tests = np.array([[number, 1, 20 + number] for number in range(12)])
    rankings = tuple(ranked([number + 0.5, -0.25]) for number in range(12))
    groups = made_groups("head", np.ones((150, 12)), np.arange(150), [None] * 150)
    names = {3: "acid, [bold]", 23: "gene"}
    run = {"groupings": [{"group_by": "head"}]}
    further = (ranked([0.125], 7),) * 12
    given = made_result(
        rankings[0], names, test_triples=tests, rankings=rankings, further=further, groups=(groups,), run=run
    )
    given.write_directory(tmp_path / "why")
    write_result(given, tmp_path / "why.parquet")
    return tmp_path / "why"


def shown(tool, *words):
    result = tool("show", *words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("words", [[], ["--group-by", "head"], ["--rank-by", "opponents"], ["--mode", "self"]])
def test_show_prints_what_run_printed(project, tool, tmp_path, words):
    test = [] if "self" in words else ["--test-triple", *project.test_ids]
    job = [*project.options(), *test, *words, "--output", tmp_path / "a.json", "--output", tmp_path / "a.parquet"]
    said = tool("run", *job).stdout.split("wrote")[0]
    assert "influence" in said
    for name in ("a.json", "a.parquet"):
        again = shown(tool, tmp_path / name)
        assert again.startswith(said)
        assert again.removeprefix(said).count("\n") == 1


def test_many_test_triples_are_listed_until_one_is_chosen(tool, folder):
    for path in (folder, folder / "summary.json", folder.with_suffix(".parquet")):
        listed = shown(tool, path)
        assert "Test triples: the first 10 of 12" in listed
        assert "acid, [bold]" in listed
        assert "show one test triple with --test-index N or --test-triple H R T" in listed
        assert "Proponents of" not in listed
        assert "Test triples: 12" in shown(tool, path, "--top", 12)


@pytest.mark.parametrize(
    "choice",
    [
        ["--test-index", 3],
        ["--test-triple", 3, 1, 23],
        ["--test-triple", "CHEBI:3", "predicate:1", "CHEBI:23"],
        ["--test-triple", "acid, [bold]", "1", "gene"],
        ["--test-triple", 3, 1, 23, "--test-index", 3],
    ],
)
def test_a_test_triple_is_chosen_by_index_id_label_or_name(tool, folder, choice):
    text = shown(tool, folder, *choice)
    assert text.count("Proponents of acid, [bold] — predicate:1 — gene") == 1
    assert "+3.500" in text
    assert "Groups by head: the 10 largest of 150" in text


def test_top_is_the_number_of_rows_of_each_table(tool, folder):
    assert "+0.125" in shown(tool, folder, "--test-index", 0)
    text = shown(tool, folder, "--test-index", 0, "--top", 1)
    assert "+0.125" not in text
    assert "Groups by head: the 1 largest of 150" in text
    assert "Groups by head: 150" in shown(tool, folder, "--test-index", 0, "--top", 150)


def test_few_rows_need_no_file_of_all_groups(tool, folder):
    (folder / "all_groups.parquet").unlink()
    assert "the 10 largest of 150" in shown(tool, folder, "--test-index", 0)
    with pytest.raises(ResultError, match=r"all_groups\.parquet: missing"):
        tool("show", folder, "--test-index", 0, "--top", 101)


def test_sets_of_test_triples_are_listed_and_found_by_a_member(tool, tmp_path):
    sets = TestSets(names=("first", "second"), of_test=np.array([0, 1, 0]))
    tests = np.array([[0, 1, 2], [3, 1, 4], [5, 1, 6]])
    sides = (ranked([1.0]), ranked([2.0]))
    given = made_result(sides[0], test_triples=tests, rankings=sides, further=(ranked([]),) * 2, sets=sets)
    given.write_directory(tmp_path / "why")
    listed = shown(tool, tmp_path / "why")
    assert "Sets of test triples: 2" in listed
    assert "second" in listed
    assert "set first" in shown(tool, tmp_path / "why", "--test-triple", 5, 1, 6)


def test_what_is_not_in_the_result_is_refused(tool, folder, tmp_path):
    with pytest.raises(ResultError, match="no answer has index 12: the result has 12, counted from 0"):
        tool("show", folder, "--test-index", 12)
    with pytest.raises(ResultError, match=r"no answer is about the test triple 3 1 24: the result has 12 test triple"):
        tool("show", folder, "--test-triple", 3, 1, 24)
    with pytest.raises(ResultError, match=r"none: no such file or folder"):
        tool("show", tmp_path / "none")
    contents = made_result(ranked([0.5])).to_dict()
    del contents["run"]["num_training_triples"]
    (tmp_path / "old.json").write_text(json.dumps(contents))
    with pytest.raises(ResultError, match=r"old\.json: no result .* 'num_training_triples' is missing"):
        tool("show", tmp_path / "old.json")


def test_showing_a_result_loads_no_large_library(folder):
    script = (
        "import sys; from tracin_dask.cli.main import call\n"
        "try: call(sys.argv[1:])\n"
        "finally: print([name for name in ('torch', 'zarr', 'dask', 'distributed', 'pandas') if name in sys.modules])"
    )
    words = [sys.executable, "-c", script, "show", folder, "--test-index", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert "Proponents of CHEBI:1" in done.stdout
    assert done.stdout.endswith("[]\n")
