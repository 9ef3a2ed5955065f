"""`tracin-dask run --save-scores`, and its lines in `plan`."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import zarr

from tracin_dask.errors import PlaceError, ScoresError

NUM_ROWS = 600
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scores.zarr"


@pytest.fixture
def words(project, path, tmp_path) -> list[object]:
    job = ["--test-triple", *project.test_ids, "--batch-size", 100, "--save-scores", path]
    return ["run", *project.options(), *job, "--output", tmp_path / "a.json"]


@pytest.fixture
def stopped(words, stop, path):
    """The command line of a run that was stopped in its third task."""
    stop(*words, after=2)
    assert zarr.open_group(path, mode="r").attrs["complete"] is False
    return words


def said(text: str) -> str:
    return " ".join(text.split())


def test_save_scores_writes_all_influences(explain, path):
    contents = explain("--top-k", NUM_ROWS, "--save-scores", path)
    saved = zarr.open_group(path, mode="r")
    by_line = {entry["train_index"]: entry["influence"] for entry in contents["influences"]}
    expected = [by_line[line] for line in saved["train_index"][:].tolist()]
    np.testing.assert_array_equal(saved["influence"][0].astype(np.float64), expected)
    assert saved.attrs["complete"] is True
    assert contents["run"]["saved_scores"] == str(path)


def test_save_scores_prints_the_size_before_and_the_path_after(words, tool, path):
    result = tool(*words)
    assert f"scores: 1 × {NUM_ROWS} float32, 2.34 kiB at {path}" in said(result.stderr)
    assert f"wrote {path}: all influences, in the order of the store's rows" in said(result.stdout)


def test_save_scores_of_many_test_triples_on_workers(project, tool, path, tmp_path):
    (tmp_path / "test.txt").write_text("1 2 3\n3 2 1\n")
    job = ["--test", tmp_path / "test.txt", "--save-scores", path, "--output-dir", tmp_path / "why"]
    assert tool("run", *project.options(), *job, "--cluster", "local", "--workers", 2).exit_code == 0
    assert np.isfinite(zarr.open_group(path, mode="r")["influence"][:]).all()
    assert zarr.open_group(path, mode="r")["test_triples"][:].tolist() == [[1, 2, 3], [3, 2, 1]]


def test_save_scores_of_self_influences(project, tool, path, tmp_path):
    job = ["--mode", "self", "--save-scores", path, "--output", tmp_path / "a.json"]
    result = tool("run", *project.options(), *job)
    assert f"scores: {NUM_ROWS} float32, 2.34 kiB at" in said(result.stderr)
    assert (zarr.open_group(path, mode="r")["self_influence"][:] > 0).all()


def test_save_scores_continues_when_the_same_command_runs_again(stopped, tool, path):
    result = tool(*stopped)
    assert result.exit_code == 0
    assert "training triples were recorded by an earlier, interrupted run" in result.stdout
    assert np.isfinite(zarr.open_group(path, mode="r")["influence"][:]).all()


def test_saved_scores_of_an_interrupted_run_are_replaced_only_with_restart(stopped, tool, path):
    with pytest.raises(RuntimeError, match="another run"):
        tool(*stopped, "--learning-rate", 0.5)
    assert tool(*stopped, "--learning-rate", 0.5, "--restart").exit_code == 0
    assert zarr.open_group(path, mode="r").attrs["run"]["checkpoints"][0]["learning_rate"] == 0.5


def test_complete_saved_scores_are_not_overwritten(words, tool, path):
    assert tool(*words).exit_code == 0
    assert "nothing to compute" in tool(*words).output
    path.with_name("a.json").unlink()
    with pytest.raises(ScoresError, match="with all scores of this run; use them, or pass --restart"):
        tool(*words)


class TestRefusedBeforeScoring:
    @pytest.fixture(params=["run", "plan"])
    def refuse(self, request, project, tool, path, monkeypatch):
        """Give a function that calls a command whose run cannot start."""
        monkeypatch.setattr("tracin_dask.cli.actions.run.open_place", None)
        monkeypatch.setattr("tracin_dask.cli.actions.plan.plan_only", None)
        output = ["--output", path.with_name("a.json")] if request.param == "run" else []

        def run(match, where=path, error=ScoresError):
            with pytest.raises(error, match=match):
                tool(request.param, *project.options(), "--mode", "self", "--save-scores", where, *output)

        return run

    def test_save_scores_refuses_a_path_that_exists(self, refuse, project):
        refuse("train.txt: exists already, but holds no scores", project.folder / "train.txt")

    def test_save_scores_refuses_a_disk_with_too_little_space(self, refuse, monkeypatch):
        monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(9_000, 7_000, 2_000))
        refuse("the scores take up to 2,400 more bytes, but only 2,000 bytes are free; make room")

    def test_save_scores_refuses_a_path_that_cannot_be_written(self, refuse, project):
        refuse(
            "the scores cannot be written: a part of its path is a file, not a folder; choose another place",
            project.folder / "train.txt" / "scores.zarr",
        )

    def test_save_scores_refuses_an_unknown_kind_of_url(self, refuse):
        refuse("no place is known for ftp://", "ftp://bucket/scores.zarr", PlaceError)


def test_plan_prints_size_and_memory_of_saved_scores(project, tool, path):
    words = [*project.options(), "--mode", "self", "--save-scores", path, "--batch-size", 100]
    found, short = said(tool("plan", *words, "--verbose").stdout), said(tool("plan", *words).stdout)
    assert f"saved scores {NUM_ROWS} float32, 2.34 kiB at" in found
    assert f"saved scores: {NUM_ROWS} float32, 2.34 kiB at" in short
    assert "writing takes 0 MiB of the memory" in found
    assert not path.exists()
