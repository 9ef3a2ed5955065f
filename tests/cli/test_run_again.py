"""`tracin-dask run` given again: a finished result is found, and more test triples are added to it."""

import errno
import json
from contextlib import contextmanager

import numpy as np
import pytest
from result_bits import result_bits

import tracin_dask
from tracin_dask.errors import ResultError
from tracin_dask.places.explained import WriteError
from tracin_dask.places.files import write_json_file
from tracin_dask.places.registry import place_of
from tracin_dask.report import folder
from tracin_dask.runs.sinks.saved_scores import are_all_there
from tracin_dask.runs.work import score

FIRST, SECOND = "1 2 3\n3 2 1\n", "1 2 3\n5 0 7\n3 2 1\n"


@pytest.fixture
def tests(tmp_path):
    file = tmp_path / "test.txt"
    file.write_text(FIRST)
    return file


@pytest.fixture
def words(project, tests, tmp_path):
    """A command that writes a folder, of two test triples."""
    return ["run", *project.options(), "--test", tests, "--output-dir", tmp_path / "why"]


@pytest.fixture
def scored(monkeypatch):
    """The test triples of all tasks that are scored from now on."""
    seen, before = [], score.stream

    def stream(job, *rest):
        seen.append(job.num_columns)
        return before(job, *rest)

    monkeypatch.setattr(score, "stream", stream)
    return seen


def test_an_identical_command_computes_nothing_and_says_so(tool, words, scored, tmp_path):
    tool(*words)
    before = {path.name: path.read_bytes() for path in (tmp_path / "why").iterdir()}
    scored.clear()
    again = tool(*words)
    assert again.exit_code == 0
    assert "nothing to compute: the result of this command is of 20" in again.output
    assert f"found {tmp_path / 'why' / 'summary.json'}" in again.output
    assert scored == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "why").iterdir()} == before


def test_an_identical_command_with_a_file_finds_it_and_shows_its_table(project, tool, scored, tmp_path):
    words = ["run", *project.options(), "--test-triple", "1", "2", "3", "--output", tmp_path / "why.json"]
    tool(*words)
    scored.clear()
    assert "Proponents of" in tool(*words).output
    assert scored == []
    tool(*words, "--output", tmp_path / "why.csv")  # which is not there yet, and is written from the result
    rows = (tmp_path / "why.csv").read_text()
    (tmp_path / "why.csv").write_text("of something else")
    text = tool(*words, "--output", tmp_path / "why.csv").output
    assert f"wrote {tmp_path / 'why.csv'}" in text
    assert (tmp_path / "why.csv").read_text() == rows
    assert scored == []
    tool(*words, "--output", tmp_path / "why.csv", "--top-k", 3)
    assert scored == [1]
    assert len(tracin_dask.read_result(tmp_path / "why.json").rankings[0]) == 3


def test_a_damaged_file_is_written_again(project, tool, tmp_path):
    words = ["run", *project.options(), "--test-triple", "1", "2", "3", "--output", tmp_path / "why.json"]
    tool(*words)
    expected = result_bits(tracin_dask.read_result(tmp_path / "why.json"))
    (tmp_path / "why.json").write_text("{")
    tool(*words)
    assert result_bits(tracin_dask.read_result(tmp_path / "why.json")).keys() == expected.keys()


def test_a_folder_that_lacks_a_file_is_written_again(tool, words, scored, tmp_path):
    tool(*words)
    expected = result_bits(tracin_dask.read_result(tmp_path / "why"))["rankings"]
    (tmp_path / "why" / "triple_1_2_3.json").unlink()
    scored.clear()
    assert tool(*words).exit_code == 0
    assert scored == [2]
    assert result_bits(tracin_dask.read_result(tmp_path / "why"))["rankings"] == expected


def test_restart_computes_a_finished_result_anew(project, tool, words, scored, tmp_path):
    tool(*words)
    scored.clear()
    assert "nothing to compute" not in tool(*words, "--restart").output
    single = ["run", *project.options(), "--test-triple", "1", "2", "3", "--output", tmp_path / "why.json"]
    tool(*single)
    tool(*single, "--restart")
    assert scored == [2, 1, 1]


@pytest.mark.parametrize(
    ("option", "difference"),
    [
        (["--top-k", "3"], r"top k: 10 then, 3 now"),
        (["--normalize", "cosine"], r"normalize: none then, cosine now"),
        (["--rank-by", "opponents"], r"rank by: absolute then, opponents now"),
        (["--checkpoint-contributions"], r"checkpoint contributions: False then, True now"),
    ],
)
def test_another_command_in_the_same_folder_is_refused_with_what_differs(tool, words, option, difference):
    tool(*words)
    with pytest.raises(ResultError, match=rf"why: has the result of another run \({difference}\), which took \d+ s"):
        tool(*words, *option)


def test_only_new_test_triples_are_scored_and_added(tool, words, tests, scored, tmp_path):
    tool(*words)
    earlier = tracin_dask.read_result(tmp_path / "why")
    tests.write_text(SECOND)
    scored.clear()
    assert "2 test triples are answered already; this run is about 1" in tool(*words).output
    assert scored == [1]
    found = tracin_dask.read_result(tmp_path / "why")
    tool(*[word if word != tmp_path / "why" else tmp_path / "anew" for word in words])
    anew = tracin_dask.read_result(tmp_path / "anew")
    assert found.test_triples.tolist() == [[1, 2, 3], [5, 0, 7], [3, 2, 1]]
    for place in range(3):
        assert np.array_equal(found.rankings[place].triples, anew.rankings[place].triples)
        np.testing.assert_allclose(found.rankings[place].influence, anew.rankings[place].influence, rtol=1e-5)
    assert result_bits(earlier)["rankings"][0] == result_bits(found)["rankings"][0]
    assert found.predictions.tail_ranks.filtered.tolist() == anew.predictions.tail_ranks.filtered.tolist()
    assert found.run["num_test_triples"] == 3
    assert [one["num_test_triples"] for one in found.run["extends"]] == [2]
    scored.clear()
    assert "nothing to compute" in tool(*words).output
    assert scored == []


def test_fewer_test_triples_do_not_take_answers_away(tool, words, tests, tmp_path):
    tests.write_text(SECOND)
    tool(*words)
    tests.write_text(FIRST)
    with pytest.raises(ResultError, match="test triples: 1 of those then are not among those now"):
        tool(*words)
    assert len(tracin_dask.read_result(tmp_path / "why").rankings) == 3


def test_results_with_totals_of_groups_are_not_added_to(tool, words, tests):
    words = [*words, "--group-by", "relation"]
    tool(*words)
    tests.write_text(SECOND)
    with pytest.raises(ResultError, match="have answers that cannot be added to"):
        tool(*words)


def test_a_result_of_an_earlier_version_is_refused_as_before(tool, words, tmp_path):
    tool(*words)
    for file in (tmp_path / "why").iterdir():
        contents = json.loads(file.read_text())
        del contents["run"]["identity"]
        file.write_text(json.dumps(contents))
    with pytest.raises(ResultError, match=r"why: has 3 file\(s\) of an earlier result.*--overwrite"):
        tool(*words)


def test_a_restart_with_more_test_triples_adds_to_nothing(tool, words, tests):
    tool(*words)
    tests.write_text(SECOND)
    with pytest.raises(ResultError, match="has the result of another run"):
        tool(*words, "--restart")


def test_other_names_are_another_result(project, tool, words):
    names = ["--entity-names", project.folder / "node_name_dict.txt"]
    tool(*words)
    with pytest.raises(ResultError, match="names: "):
        tool(*words, *names)


def test_saved_scores_that_lack_a_chunk_are_not_found(project, tool, scored, tmp_path):
    words = ["run", *project.options(), "--test-triple", "1", "2", "3", "--output", tmp_path / "why.json"]
    words += ["--save-scores", tmp_path / "scores.zarr"]
    tool(*words)
    scored.clear()
    assert "nothing to compute" in tool(*words).output
    next(path for path in (tmp_path / "scores.zarr" / "influence" / "c").rglob("*") if path.is_file()).unlink()
    tool(*words, "--restart")
    assert scored == [1]
    assert are_all_there(place_of(tmp_path / "scores.zarr"))


@pytest.fixture
def full(monkeypatch):
    """Let the disk be full at the third file of a result, while the block lasts."""

    @contextmanager
    def full():
        written = []

        def write(path, contents):
            written.append(path)
            if len(written) == 3:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            write_json_file(path, contents)

        with monkeypatch.context() as patch:
            patch.setattr(folder, "write_json_file", write)
            yield

    return full


def test_a_run_that_adds_and_cannot_write_loses_no_answer(tool, words, tests, full, tmp_path):
    tool(*words)
    before = result_bits(tracin_dask.read_result(tmp_path / "why"))["rankings"]
    tests.write_text(SECOND)
    with full(), pytest.raises(WriteError, match="the disk is full"):
        tool(*words)
    assert "2 test triples are answered already; this run is about 1" in tool(*words).output
    found = tracin_dask.read_result(tmp_path / "why")
    assert len(found.rankings) == 3
    assert (result_bits(found)["rankings"][0], result_bits(found)["rankings"][2]) == before


def test_answers_of_a_run_with_other_options_are_never_added_to(tool, words, tests, full):
    tool(*words)
    with full(), pytest.raises(WriteError, match="the disk is full"):
        tool(*words, "--normalize", "cosine", "--overwrite")
    tests.write_text(SECOND)
    with pytest.raises(ResultError, match="those then have answers that cannot be read"):
        tool(*words)
