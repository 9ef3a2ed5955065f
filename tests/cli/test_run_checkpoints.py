"""`tracin-dask run` and `plan` over several checkpoints: how they are named, ordered, weighted and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_model

from tracin_dask.errors import CheckpointError, ConfigError

EPOCHS = (2, 10, 9)
"""Epochs of the three checkpoints, in the order in which they are written."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder of checkpoints of one training; all but the second state their learning rate."""
    folder = tmp_path_factory.mktemp("training") / "checkpoints"
    folder.mkdir()
    sizes = {"num_entities": 40, "num_relations": 4}
    shape = {"embedding_height": 4, "embedding_width": 6}
    for seed, epoch in enumerate(EPOCHS, start=50):
        stated = {} if epoch == 10 else {"learning_rate": 0.1 / epoch}
        state = random_model(seed, **sizes).float().state_dict()
        contents = {"model_state_dict": state, "model_config": shape, "epoch": epoch}
        torch.save(contents | stated, folder / f"epoch_{epoch}.pt")
    return folder


@pytest.fixture
def over(project, tool, tmp_path):
    """Explain the test triple with the given checkpoints; return the JSON and the command's result."""

    def run(*words, command="run"):
        output = [] if command == "plan" else ["--output", tmp_path / "sum.json"]
        rest = project.options()[2:]
        result = tool(command, *rest, "--test-triple", *project.test_ids, "--top-k", 600, *output, *words)
        assert result.exit_code == 0, result.output
        return (json.loads((tmp_path / "sum.json").read_text()) if output else None), result

    return run


def files(folder, *epochs):
    return [folder / f"epoch_{epoch}.pt" for epoch in epochs]


def by_line(contents):
    return np.array([e["influence"] for e in sorted(contents["influences"], key=lambda e: e["train_index"])])


def taken(contents):
    return [(c["epoch"], round(c["learning_rate"], 6)) for c in contents["run"]["checkpoints"]]


class TestNaming:
    @pytest.mark.parametrize("way", ["in a row", "again and again", "a folder", "a pattern", "a row and a pattern"])
    def test_model_path_takes_files_folders_and_patterns(self, over, folder, way):
        words = {
            "in a row": ["--model-path", *files(folder, 10, 9, 2)],
            "again and again": [word for path in files(folder, 9, 2, 10) for word in ("--model-path", path)],
            "a folder": ["--model-path", folder],
            "a pattern": ["--model-path", folder / "epoch_*.pt"],
            "a row and a pattern": ["--model-path", *files(folder, 2, 9), "--model-path", folder / "*_??.pt"],
        }[way]
        contents, _ = over(*words)
        assert taken(contents) == [(2, 0.05), (9, 0.011111), (10, 0.001)]
        assert contents["learning_rate"] == [c["learning_rate"] for c in contents["run"]["checkpoints"]]

    def test_influences_over_checkpoints_are_the_sums_of_single_runs(self, over, folder):
        summed, _ = over("--model-path", folder)
        alone = [by_line(over("--model-path", path)[0]) for path in files(folder, *EPOCHS)]
        size = np.abs(alone).max()
        np.testing.assert_allclose(by_line(summed), sum(alone), rtol=1e-5, atol=1e-6 * size)

    def test_the_list_of_checkpoints_ends_at_the_next_option(self, over, folder):
        words = ["--model-path", *files(folder, 2, 9), "--parameters", "fc.*", "bn2.*", "--batch-size", 100]
        contents, _ = over(*words)
        assert len(contents["run"]["checkpoints"]) == 2
        assert contents["run"]["parameters"] == ["bn2.bias", "bn2.weight", "fc.bias", "fc.weight"]

    def test_the_order_and_learning_rates_of_checkpoints_are_printed(self, over, folder):
        said = over("--model-path", folder)[1].stderr
        assert "influences are summed over 3 checkpoints, in this order:" in said
        assert f"  {folder}/epoch_9.pt: epoch 9, learning rate 0.0111111\n" in said
        default = f"  {folder}/epoch_10.pt: epoch 10, learning rate 0.001 (the default, since the file states none)\n"
        assert default in said
        assert "the default" not in over("--model-path", folder, "--learning-rate", 0.001)[1].stderr

    def test_nothing_about_order_is_printed_for_one_checkpoint(self, over, folder):
        contents, result = over("--model-path", files(folder, 2)[0])
        assert "checkpoint" not in result.stderr
        assert contents["learning_rate"] == 0.05


class TestLearningRates:
    @pytest.fixture
    def in_new_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_one_learning_rate_applies_to_all_checkpoints(self, over, folder):
        contents, _ = over("--model-path", folder, "--learning-rate", 0.5)
        assert taken(contents) == [(2, 0.5), (9, 0.5), (10, 0.5)]

    def test_several_learning_rates_may_be_given_in_a_row_or_by_repeating(self, over, folder):
        rates = [["--learning-rate", 0.5, 0.25, 0.125], ["--learning-rate", 0.5, "--learning-rate", 0.25, 0.125]]
        for words in rates:
            contents, _ = over(*words, "--model-path", *files(folder, 2, 9, 10))
            assert taken(contents) == [(2, 0.5), (9, 0.25), (10, 0.125)]
            assert contents["learning_rate"] == [0.5, 0.25, 0.125]

    def test_learning_rates_scale_the_influences_of_their_checkpoints(self, over, folder):
        weighted, _ = over("--model-path", folder, "--learning-rate", 2, 1, 4)
        pairs = zip(files(folder, 2, 9, 10), (2, 1, 4), strict=True)
        alone = [by_line(over("--model-path", path, "--learning-rate", rate)[0]) for path, rate in pairs]
        np.testing.assert_allclose(by_line(weighted), sum(alone), rtol=1e-5, atol=1e-6 * np.abs(alone).max())

    def test_a_wrong_number_of_learning_rates_is_refused_with_the_order(self, over, folder):
        order = ", ".join(map(str, files(folder, 2, 9, 10)))
        with pytest.raises(ConfigError, match=rf"2 learning rates and 3 checkpoint\(s\); .* in this order: {order}$"):
            over("--model-path", *files(folder, 2, 9, 10), "--learning-rate", 0.5, 0.25)

    def test_learning_rates_for_checkpoints_listed_out_of_order_are_refused(self, over, folder):
        order = ", ".join(map(str, files(folder, 2, 9, 10)))
        with pytest.raises(
            ConfigError, match=f"one number per checkpoint, but checkpoints are used in .*: {order}; list"
        ):
            over("--model-path", *files(folder, 10, 2, 9), "--learning-rate", 0.5, 0.25, 0.125)

    def test_a_schedule_gives_learning_rates_by_epoch_or_file(self, over, folder, tmp_path):
        schedule = tmp_path / "rates.tsv"
        schedule.write_text("9\t0.25\n2\t0.5\n7\t1\nepoch_10.pt\t0.125\n")
        contents, result = over("--model-path", folder, "--learning-rate-schedule", schedule)
        assert taken(contents) == [(2, 0.5), (9, 0.25), (10, 0.125)]
        assert "default" not in result.stderr

    def test_a_default_learning_rate_is_printed(self, over, folder):
        (path,), (stated,) = files(folder, 10), files(folder, 2)
        told = f"learning rate 0.001: the default, since {path} states none (--learning-rate)"
        assert told in over("--model-path", path)[1].stderr
        assert told not in over("--model-path", path, "--learning-rate", 0.001)[1].stderr
        assert "the default" not in over("--model-path", stated)[1].stderr

    def test_an_unused_name_in_a_schedule_is_printed(self, over, folder, tmp_path):
        schedule = tmp_path / "rates.tsv"
        schedule.write_text("9\t0.25\n2\t0.5\n10\t1\nepoch_3.pt\t0.125\n")
        _, result = over("--model-path", folder, "--learning-rate-schedule", schedule)
        assert f"{schedule}: no checkpoint of this run is called epoch_3.pt\n" in result.stderr

    def test_a_schedule_that_misses_an_epoch_is_refused(self, over, folder, tmp_path):
        schedule = tmp_path / "rates.tsv"
        schedule.write_text("9\t0.25\n2\t0.5\n")
        with pytest.raises(ConfigError, match=r"rates\.tsv has no line for epoch 10, which .*epoch_10\.pt states"):
            over("--model-path", folder, "--learning-rate-schedule", schedule)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--learning-rate-schedule", "bad.tsv", "--learning-rate", 1], "both give learning rates; give only one"),
            (["--learning-rate-schedule", "bad.tsv"], r"bad\.tsv, line 2: expected `epoch TAB learning rate`"),
        ],
    )
    def test_invalid_learning_rates_are_refused_before_scoring(self, over, folder, in_new_folder, words, message):
        (in_new_folder / "bad.tsv").write_text("1\t0.1\n2 0.1\n")
        with pytest.raises(ConfigError, match=message):
            over("--model-path", folder, "--cache-dir", "cache", *words)
        assert not (in_new_folder / "cache").exists()


class TestRefused:
    @pytest.fixture
    def refuse(self, project, refused):
        return lambda *words: refused("plan", *project.options()[2:], "--mode", "self", *words)

    @pytest.mark.parametrize("end", [[], ["--labels"]])
    def test_refuses_model_path_without_a_file(self, refuse, end):
        assert "--model-path needs at least one file, e.g. --model-path model.pt" in refuse("--model-path", *end)

    def test_refuses_learning_rate_without_a_number(self, refuse):
        assert "--learning-rate needs at least one number, e.g. --learning-rate 0.001" in refuse("--learning-rate")

    def test_refuses_a_missing_checkpoint(self, refuse, folder):
        said = refuse("--model-path", *files(folder, 2, 3))
        assert "epoch_3.pt' does not exist" in said

    def test_refuses_a_folder_without_checkpoints(self, refuse, tmp_path):
        said = refuse("--model-path", tmp_path)
        assert f"the folder {tmp_path} holds no checkpoint (*.pt, *.pth, *.ckpt, *.model," in said

    def test_refuses_a_pattern_that_matches_no_checkpoint(self, refuse, folder):
        said = refuse("--model-path", folder / "step_*.pt")
        assert "no file matches the pattern" in said

    def test_refuses_the_same_checkpoint_twice(self, over, folder, tmp_path):
        copy = tmp_path / "best_model.pt"
        copy.write_bytes(files(folder, 9)[0].read_bytes())
        with pytest.raises(
            CheckpointError, match=r"epoch_9\.pt and .*/best_model\.pt are the same file|best_model\.pt and"
        ):
            over("--model-path", folder, copy)

    def test_refuses_checkpoints_of_different_models(self, over, folder, tmp_path):
        model = random_model(num_entities=40, num_relations=4, output_channels=3).float()
        config = {"embedding_height": 4, "embedding_width": 6}
        odd = tmp_path / "odd.pt"
        torch.save({"model_state_dict": model.state_dict(), "model_config": config}, odd)
        with pytest.raises(CheckpointError, match=r"odd\.pt is another model than .*output_channels 3, not 5"):
            over("--model-path", odd, *files(folder, 2, 9))


def test_every_influence_has_the_contributions_of_its_checkpoints(over, folder):
    contents, _ = over("--model-path", folder, "--checkpoint-contributions")
    largest = np.abs(by_line(contents)).max()
    for entry in contents["influences"]:
        assert list(entry)[-3:] == ["influence", "influence_by_checkpoint", "train_index"]
        assert len(entry["influence_by_checkpoint"]) == 3
        assert sum(entry["influence_by_checkpoint"]) == pytest.approx(entry["influence"], rel=1e-4, abs=1e-5 * largest)


# Tornado leaves a socket to the garbage collector where the dashboard's port is in use
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_run_over_checkpoints_on_workers_gives_the_same_result(over, folder):
    here, _ = over("--model-path", folder, "--checkpoint-contributions", "--batch-size", 100)
    workers = ["--cluster", "local", "--workers", 2, "--batch-size", 100, "--restart"]
    there, _ = over("--model-path", folder, "--checkpoint-contributions", *workers)
    assert by_line(there).tobytes() == by_line(here).tobytes()
    assert there["run"]["statistics"]["checkpoint_loads"] in {3, 6}


def test_plan_counts_all_checkpoints(over, folder):
    def lines(*words):
        pairs = (
            line.strip().split("  ", 1) for line in over(*words, "--verbose", command="plan")[1].stdout.splitlines()
        )
        return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}

    one, three = (lines("--model-path", given, "--batch-size", 100) for given in (files(folder, 2)[0], folder))
    assert one["what"] == three["what"] == "600 training triples on 1 test triple"
    assert "checkpoints" not in one
    assert three["checkpoints"] == "3, over which influences are summed"
    assert three["model"].endswith("MiB, of all 3 checkpoints")
    counts = [float(found["multiply-adds"].split(",")[0]) for found in (one, three)]
    assert counts[1] == pytest.approx(3 * counts[0], rel=0.01)
    assert three["multiply-adds"].endswith(", of all 3 checkpoints")
