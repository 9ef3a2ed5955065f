"""One output has one writer, and what is no regular file stays what it is: pipes and standard output are written to."""

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracin_dask.cli.main import call
from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.settings import TrainingConfig, TrainingData, TrainingFiles
from tracin_dask.models.training.training import Observer, train
from tracin_dask.places.files import locked_file, locked_folder
from tracin_dask.places.place import BusyError

MAIN = "from tracin_dask.cli.main import main; main()"


@pytest.fixture
def explaining(project):
    """The command line of a run without outputs."""
    return ["run", *project.options(), "--test-triple", *project.test_ids]


class TestTwoCommands:
    def refused(self, tool, target, *words):
        with pytest.raises(BusyError, match=rf"{target}: process {os.getpid()} on .* is writing here"):
            tool(*words)

    @pytest.mark.fault("two runs with one output file", promised="the second is refused at once")
    @pytest.mark.parametrize("option", ["--output", "--save-groups", "--performance-report", "--save-scores"])
    def test_two_runs_with_one_file_are_refused(self, explaining, tool, tmp_path, option):
        names = {"--output": "b.csv", "--save-groups": "g.parquet", "--save-scores": "s.zarr"}
        target = tmp_path / names.get(option, "report.html")
        words = [*explaining, "--output", tmp_path / "a.json", "--group-by", "relation"]
        with locked_file(target):
            self.refused(tool, target, *words, option, target)

    def test_two_runs_with_one_folder_are_refused(self, explaining, tool, tmp_path):
        with locked_folder(tmp_path):
            self.refused(tool, tmp_path, *explaining, "--output-dir", tmp_path)

    def test_runs_with_different_names_in_one_folder_do_not_meet(self, explaining, tool, tmp_path):
        with locked_file(tmp_path / "a.json"):
            tool(*explaining, "--output", tmp_path / "b.json")
        assert [path.name for path in tmp_path.iterdir()] == ["b.json"]

    def test_of_two_equal_runs_started_at_once_none_spoils_the_other(self, explaining, tmp_path):
        words = [*map(str, explaining), "--output", str(tmp_path / "a.json")]
        command = [sys.executable, "-c", MAIN, *words]
        both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in "12"]
        said = [process.communicate()[1] for process in both]
        for process, text in zip(both, said, strict=True):
            assert process.returncode == 0 or "is writing here" in text
        assert 0 in [process.returncode for process in both]
        assert json.loads((tmp_path / "a.json").read_text())["influences"]
        assert [path.name for path in tmp_path.iterdir()] == ["a.json"]

    @pytest.mark.fault("two conversions to one file", promised="the second is refused at once")
    def test_two_conversions_to_one_file_are_refused(self, project, tool, tmp_path):
        target = tmp_path / "model.pt"
        with locked_file(target):
            self.refused(
                tool, target, "convert", "--input", project.folder / "model.pt", "--to", "pykeen", "--output", target
            )

    @pytest.mark.fault("two trainings into one folder", promised="the second is refused at once")
    @pytest.mark.parametrize("folder", ["model", "elsewhere"])
    def test_two_trainings_into_one_folder_are_refused_before_the_graph_is_read(self, project, tool, tmp_path, folder):
        (tmp_path / folder).mkdir()
        words = ["train", "--train", project.folder / "train.txt", "-o", tmp_path / "model"]
        with locked_folder(tmp_path / folder):
            self.refused(tool, tmp_path / folder, *words, "--checkpoint-dir", tmp_path / "elsewhere")

    def test_a_training_holds_its_folder_until_it_ends(self, project, tmp_path):
        seen = []

        def look(*_: object) -> None:
            with pytest.raises(BusyError), locked_folder(tmp_path):
                pass
            seen.append(True)

        sizes = ConvEConfig(
            num_entities=40, num_relations=4, embedding_dim=24, embedding_height=4, embedding_width=6, output_channels=2
        )
        train(
            TrainingData(train=project.lines),
            sizes,
            config=TrainingConfig(num_epochs=1, use_gpu=False),
            files=TrainingFiles(output_dir=tmp_path),
            observer=Observer(on_epoch=look),
        )
        assert seen
        assert not (tmp_path / ".lock").exists()


class TestTargets:
    def test_a_result_on_standard_output_is_json_and_nothing_else(self, explaining):
        command = [sys.executable, "-c", MAIN, *map(str, explaining), "--output", "/dev/stdout"]
        done = subprocess.run(command, check=True, capture_output=True)
        assert len(json.loads(done.stdout)["influences"]) == 10
        assert b"wrote /dev/stdout" in done.stderr

    @pytest.mark.fault("--output to a named pipe", promised="the result goes into it; it stays a pipe")
    def test_a_result_is_written_to_a_named_pipe(self, explaining, tool, tmp_path):
        pipe, found = tmp_path / "a.csv", []
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
        reader.start()
        tool(*explaining, "--output", pipe)
        reader.join()
        assert found[0].startswith("test_index,")
        assert pipe.is_fifo()
        assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]

    @pytest.mark.fault(
        "--output, --save-groups or --performance-report to a device", promised="one message, before any work"
    )
    @pytest.mark.parametrize("option", ["--output", "--save-groups", "--performance-report"])
    def test_a_device_is_refused_before_the_run(self, explaining, tmp_path, capsys, option, monkeypatch):
        monkeypatch.setattr("tracin_dask.cli.actions.run.prepared_run", lambda _: pytest.fail("the run was prepared"))
        device = tmp_path / ("a.parquet" if option == "--save-groups" else "a.json")
        device.symlink_to("/dev/null")
        words = [*explaining, "--output", tmp_path / "b.json", "--group-by", "relation", option, device]
        with pytest.raises(SystemExit) as stopped:
            call([str(word) for word in words])
        assert stopped.value.code == 1
        assert f"Error: {device} is a device, not a file; choose another name" in capsys.readouterr().err
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_groups_do_not_go_to_a_pipe(self, explaining, tool, tmp_path):
        os.mkfifo(tmp_path / "a.json")
        with pytest.raises(ConfigError, match=r"is a pipe, but groups .* go to files next to the result"):
            tool(*explaining, "--output", tmp_path / "a.json", "--group-by", "relation")

    @pytest.mark.fault("--output to a symbolic link", promised="the link stays, its file is replaced")
    def test_a_link_stays_a_link(self, explaining, tool, tmp_path):
        (tmp_path / "a.json").symlink_to("real.json")
        tool(*explaining, "--output", tmp_path / "a.json")
        assert (tmp_path / "a.json").is_symlink()
        assert json.loads((tmp_path / "real.json").read_text())["influences"]

    def test_conversion_to_a_device_is_refused(self, project, capsys):
        words = ["convert", "--input", f"{project.folder}/model.pt", "--to", "pykeen", "--output", "/dev/null"]
        with pytest.raises(SystemExit):
            call([*words, "--overwrite"])
        assert "/dev/null is a device" in capsys.readouterr().err
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_verifying_what_went_to_a_pipe_is_refused(self, project, tool, tmp_path):
        os.mkfifo(tmp_path / "m.pt")
        with pytest.raises(ConfigError, match="--verify reads the converted file again"):
            tool(
                "convert",
                "--input",
                project.folder / "model.pt",
                "--to",
                "pykeen",
                "--output",
                tmp_path / "m.pt",
                "--verify",
            )
