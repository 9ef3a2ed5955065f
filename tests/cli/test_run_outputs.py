"""`tracin-dask run`: where its result goes, in which formats, and what an earlier result in the folder means."""

import json

import numpy as np
import pandas as pd
import pytest
from result_bits import result_bits

import tracin_dask
from tracin_dask.errors import ResultError


@pytest.fixture
def words(project, tmp_path):
    """A command that writes a folder, of two test triples."""
    (tmp_path / "test.txt").write_text("1 2 3\n3 2 1\n")
    return ["run", *project.options(), "--test", tmp_path / "test.txt", "--output-dir", tmp_path / "why"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_earlier_result_in_the_folder_stops_the_run(project, tool, words, tmp_path):
    tool(*words)
    again = [
        "run",
        *project.options(),
        "--mode",
        "self",
        "--output-dir",
        tmp_path / "why",
        "--cache-dir",
        tmp_path / "c",
    ]
    with pytest.raises(
        ResultError,
        match=r"why: has the result of another run \(.*test triples: there are none now.*choose another folder",
    ):
        tool(*again)
    assert names(tmp_path / "why") == ["summary.json", "triple_1_2_3.json", "triple_3_2_1.json"]
    assert tool(*again, "--overwrite").exit_code == 0
    assert names(tmp_path / "why") == ["self_influence.json", "summary.json"]


def test_a_run_that_was_stopped_goes_on_without_overwriting(tool, stop, words, tmp_path):
    words = [*words, "--batch-size", 100]
    stop(*words, after=2)
    (tmp_path / "why" / "triple_1_2_3.json").write_text("{}")  # as if it had been cut off while it wrote its result
    assert tool(*words).exit_code == 0
    assert names(tmp_path / "why") == ["summary.json", "triple_1_2_3.json", "triple_3_2_1.json"]
    assert json.loads((tmp_path / "why" / "summary.json").read_text())["run"]["statistics"]["resumed_rows"] > 0
    assert len(tracin_dask.read_result(tmp_path / "why").rankings) == 2


def test_the_earlier_result_stays_until_the_new_one_is_there(tool, stop, words, tmp_path):
    tool(*words)
    earlier = result_bits(tracin_dask.read_result(tmp_path / "why"))
    stop(*words, "--overwrite", "--batch-size", 100, after=1)
    assert result_bits(tracin_dask.read_result(tmp_path / "why")) == earlier


def test_a_file_is_replaced(project, tool, tmp_path):
    words = ["run", *project.options(), "--mode", "self", "--output", tmp_path / "a.json"]
    tool(*words)
    tool(*words, "--top-k", 3)
    assert len(tracin_dask.read_result(tmp_path / "a.json").rankings[0]) == 3
    assert names(tmp_path) == ["a.json"]


def test_a_file_and_a_folder_may_be_written_at_once(project, tool, tmp_path):
    job = ["--test-triple", *project.test_ids, "--group-by", "head"]
    outputs = ["--output", tmp_path / "a.json", "--output-dir", tmp_path / "why"]
    text = tool("run", *project.options(), *job, *outputs).stdout
    assert names(tmp_path) == ["a.groups.parquet", "a.json", "why"]
    one, other = (result_bits(tracin_dask.read_result(tmp_path / name)) for name in ("a.json", "why"))
    assert one == other
    assert f"wrote {tmp_path / 'a.json'}: the 10 training triples with the largest |influence|" in text
    assert f"wrote {tmp_path / 'why' / 'summary.json'}: " in text


def test_many_test_triples_go_into_one_table_and_into_several_files_at_once(tool, words, tmp_path):
    words = [*words[:-2], "--group-by", "relation"]
    outputs = [word for suffix in ("csv", "tsv", "parquet") for word in ("--output", tmp_path / f"why.{suffix}")]
    text = tool(*words, *outputs).stdout
    assert names(tmp_path) == [
        *("test.txt", "why.csv", "why.groups.csv", "why.groups.parquet", "why.groups.tsv", "why.parquet", "why.tsv"),
    ]
    found = tracin_dask.read_result(tmp_path / "why.parquet")
    table = pd.read_csv(tmp_path / "why.csv")
    assert table["influence"].tolist() == np.concatenate([ranking.influence for ranking in found.rankings]).tolist()
    assert table["test_index"].tolist() == [0] * 10 + [1] * 10
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "why.tsv", sep="\t"))
    assert (
        f"wrote {tmp_path / 'why.csv'}: of each test triple the 10 training triples with the largest |influence|"
        in text
    )


def test_lists_of_different_lengths_hold_up_to_the_longest(tool, words, tmp_path):
    text = tool(*words, "--touching", "tail", "--top-k", 600).stdout
    lengths = [len(ranking) for ranking in tracin_dask.read_result(tmp_path / "why").rankings]
    assert len(set(lengths)) == 2
    assert f"each with up to {max(lengths)} training triples with the largest |influence|" in text
