"""`tracin-dask run --curvature` and `--ensemble`: what the screen, the plan and the file say."""

import errno
import json
import re
import shutil

import pytest
import torch

from tracin_dask.errors import ConfigError
from tracin_dask.places.local import LocalPlace
from tracin_dask.triples.entity_rows import FOLDER


@pytest.fixture
def words(project, tmp_path):
    """A command that writes a file."""
    return ["run", *project.options(), "--test-triple", *project.test_ids, "--output", tmp_path / "why.json"]


def read(tmp_path) -> dict:
    return json.loads((tmp_path / "why.json").read_text())


def test_the_file_and_the_screen_state_the_curvature(tool, words, project, tmp_path):
    output = tool(*words, "--curvature", "rows", "--damping", "3").output
    result = read(tmp_path)
    assert (result["run"]["curvature"], result["run"]["damping"]) == ("rows", 3.0)
    assert result["run"]["parameters"] == ["entity_embeddings.weight"]
    assert "drop of loss after a step that is divided by the curvature" in " ".join(output.split())
    ends = {project.lines[5][0], project.lines[5][2]}
    assert all({entry["train_head"], entry["train_tail"]} & ends for entry in result["influences"])
    assert "divided by the curvature" in " ".join(tool("show", tmp_path / "why.json").output.split())


def test_the_plan_says_how_few_training_triples_count_and_what_the_curvature_takes(tool, project):
    asked = [*project.options(), "--test-triple", *project.test_ids]
    output = " ".join(tool("plan", *asked, "--verbose", "--curvature", "rows").output.split())
    assert "600 training triples on 1 test triple; at most" in output
    assert "touch them, and the others have no influence" in output
    assert "curvature rows, damping 3" in output
    assert "the curvature 0 MiB" in output
    output = " ".join(tool("plan", *asked, "--verbose", "--curvature", "landmarks", "--landmarks", 50).output.split())
    assert "curvature landmarks, damping 3" in output
    assert "touch them" not in output


def test_landmarks_are_stated(tool, words, tmp_path):
    options = ["--curvature", "landmarks", "--landmarks", 50, "--landmarks-near", "--landmarks-seed", 7]
    output = tool(*words, *options).output
    run = read(tmp_path)["run"]
    assert {"landmarks": 50, "landmarks_near": True, "landmarks_seed": 7}.items() <= run.items()
    assert "audit: nothing could be compared" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--damping", 2], "damping 2.0 is that of a curvature; give a curvature, or leave it out"),
        (["--curvature", "rows", "--preconditioner", "adam"], "give only one of them"),
        (["--curvature", "rows", "--parameters", "fc.*"], "take --curvature landmarks, which knows every tensor"),
        (["--landmarks", 5], "give curvature landmarks, too"),
        (["--curvature", "landmarks", "--normalize", "cosine"], "take curvature rows"),
        (["--ensemble"], "--ensemble averages over trainings, and there is one"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tool, words, options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        tool(*words, *options)


def test_a_damping_of_zero_is_refused(refused, words):
    assert "is not a finite number above 0" in refused(*words, "--curvature", "rows", "--damping", 0)


def test_an_ensemble_states_its_trainings_and_the_spread(tool, words, project, tmp_path):
    saved = torch.load(project.folder / "model.pt", weights_only=True)
    weights = saved["model_state_dict"]
    weights["fc.bias"] = weights["fc.bias"] + 0.1
    torch.save(saved, tmp_path / "other.pt")
    output = tool(*words, "--ensemble", "--model-path", tmp_path / "other.pt").output
    result = read(tmp_path)
    assert [one["training"] for one in result["run"]["checkpoints"]] == [1, 2]
    assert all(entry["influence_spread"] >= 0 for entry in result["influences"])
    assert "influences are averaged over 2 trainings, of 2 checkpoints in all, in this order:" in output
    for shown in (output, tool("show", tmp_path / "why.json").output):
        assert "Spread: the standard deviation over the trainings." in " ".join(shown.split())


def test_a_store_that_cannot_be_written_is_read_whole_with_the_same_bits(tool, words, tmp_path, monkeypatch, caplog):
    words[words.index("--cache-dir") + 1] = tmp_path / "own-cache"  # the shared one may hold stores of other tests
    tool(*words, "--curvature", "rows")
    by_index = read(tmp_path)["influences"]
    (store,) = (tmp_path / "own-cache").glob("train-*.zarr")
    shutil.rmtree(store / FOLDER)

    def refuse(place):
        if str(place).endswith(".zarr"):
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(LocalPlace, "check_writable", refuse)
    tool(*words, "--curvature", "rows", "--restart")
    assert read(tmp_path)["influences"] == by_index
    (said,) = [record.getMessage() for record in caplog.records if "index of its entities" in record.getMessage()]
    assert "this run reads all training triples to find those that count" in said
    assert not (store / FOLDER).exists()
