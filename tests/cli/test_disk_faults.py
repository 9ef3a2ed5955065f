"""Full disks, missing permissions, deleted folders: one message with place and remedy, and no piece of a file."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracin_dask.cli.actions.performance_report import PerformanceReport
from tracin_dask.cli.main import call
from tracin_dask.places.explained import WriteError
from tracin_dask.places.registry import place_of
from tracin_dask.runs.sinks.records import Records

Fails = Callable[..., str]
FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission",
    errno.ENOENT: "its folder does not exist, or was deleted meanwhile",
}


@pytest.fixture
def fails(capsys) -> Fails:
    """Carry out a command line that fails; give its message."""

    def command(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            call([str(word) for word in words])
        said = capsys.readouterr().err
        assert stopped.value.code == 1, said
        assert "Traceback" not in said
        assert said.count("Error: ") == 1, said
        return said

    return command


@pytest.fixture
def out(tmp_path) -> Path:
    """The folder that is written to."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def commands(project, tmp_path, out):
    """The command line of each writer, into a folder."""
    train = ["--train", project.folder / "train.txt", *project.maps()]
    run = ["run", *project.options(), "--test-triple", *project.test_ids]
    sizes = ["--embedding-dim", 24, "--embedding-height", 4, "--embedding-width", 6, "--output-channels", 5]

    def words(writer: str, folder: Path = out) -> list[object]:
        return {
            "json": [*run, "--output", folder / "a.json"],
            "csv": [*run, "--output", folder / "a.csv"],
            "parquet": [*run, "--output", folder / "a.parquet"],
            "folder": [*run, "--output-dir", folder / "why"],
            "groups": [
                *run,
                "--output",
                tmp_path / "b.json",
                "--group-by",
                "relation",
                "--save-groups",
                folder / "g.parquet",
            ],
            "scores": [*run, "--output", tmp_path / "c.json", "--save-scores", folder / "scores.zarr"],
            "ingest": ["ingest", project.folder / "train.txt", *project.maps(), "-o", folder / "graph.zarr"],
            "convert": [
                "convert",
                "--input",
                project.folder / "model.pt",
                "--to",
                "pykeen",
                "--output",
                folder / "m.pt",
            ],
            "train": ["train", *train, "-o", folder / "model", "--num-epochs", 1, "--no-gpu", *sizes],
        }[writer]

    return words


WRITERS = ["json", "csv", "parquet", "folder", "groups", "scores", "ingest", "convert", "train"]


@pytest.fixture
def broken(monkeypatch, out) -> Callable[[int, str], None]:
    """Let an operation fail for the files of the folder, except locks and records."""

    def fail(number: int, operation: str) -> None:
        def is_meant(path: object) -> bool:
            return str(out) in str(path) and ".lock" not in str(path) and ".progress" not in str(path)

        def raise_if_meant(path: object) -> None:
            if is_meant(path):
                raise OSError(number, os.strerror(number), str(path))

        if operation == "fsync":
            fsync = os.fsync
            monkeypatch.setattr(
                os, "fsync", lambda fd: (raise_if_meant(Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd))[1]
            )
        else:
            for name in ("replace", "rename"):
                original = getattr(Path, name)
                monkeypatch.setattr(
                    Path, name, lambda path, to, original=original: (raise_if_meant(path), original(path, to))[1]
                )

    return fail


def pieces(folder: Path) -> list[str]:
    return [
        str(path) for path in folder.rglob("*") if ".part" in path.name or path.name.endswith((".lock", ".replaced"))
    ]


@pytest.mark.fault(
    "the disk is full when a file is synced, every writer", promised="one message that says what is kept; no piece left"
)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_is_full_at_the_end_of_writing_is_one_message(writer, commands, broken, fails, out):
    broken(errno.ENOSPC, "fsync")
    said = fails(*commands(writer))
    assert str(out) in said
    assert "the disk is full" in said
    assert pieces(out) == []


@pytest.mark.fault("quota, read-only, no permission, folder gone", promised="one message")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_remedy(fault, commands, broken, fails, out):
    broken(fault, "rename")
    assert FAULTS[fault] in fails(*commands("convert"))
    assert pieces(out) == []


@pytest.mark.fault("the result cannot be written", promised="finished rows are kept")
def test_a_result_that_cannot_be_written_keeps_the_finished_rows(commands, broken, fails, out, monkeypatch):
    broken(errno.ENOSPC, "rename")
    said = fails(*commands("json"))
    assert f"finished rows are kept in {out}/a.json.progress: the same command continues from there" in said
    monkeypatch.undo()
    with pytest.raises(SystemExit) as done:
        call([str(word) for word in commands("json")])
    assert done.value.code == 0
    assert [path.name for path in out.iterdir()] == ["a.json"]


@pytest.mark.fault("the folder of records is deleted during the run", promised="one message")
def test_a_record_folder_that_was_deleted_during_the_run_is_named(commands, fails, tmp_path, monkeypatch):
    write = Records.write

    def deleted(self, rows, scored):
        shutil.rmtree(self._directory)
        write(self, rows, scored)

    monkeypatch.setattr(Records, "write", deleted)
    said = fails(*commands("json", tmp_path))
    assert "a.json.progress: the records of finished rows cannot be written: its folder does not exist" in said
    assert "nothing is kept" in said


@pytest.mark.fault("an output folder that cannot be written", promised="one message, before any work")
@pytest.mark.parametrize("writer", ["json", "folder", "groups"])
def test_an_output_folder_that_cannot_be_written_is_told_before_the_run(writer, commands, fails, tmp_path, monkeypatch):
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    monkeypatch.setattr("tracin_dask.cli.actions.run.prepared_run", lambda _: pytest.fail("the run was prepared"))
    assert "the file system is read-only" in fails(*commands(writer, tmp_path))


@pytest.mark.fault("the place of the performance report cannot be written", promised="one message, before any work")
def test_the_place_of_the_performance_report_is_checked_before_the_run(commands, fails, tmp_path, monkeypatch):
    monkeypatch.setattr("tracin_dask.cli.actions.run.prepared_run", lambda _: pytest.fail("the run was prepared"))
    (tmp_path / "file").touch()
    said = fails(*commands("json", tmp_path), "--performance-report", tmp_path / "file" / "report.html")
    assert "the performance report cannot be written" in said


def test_a_performance_report_that_cannot_be_written_says_that_the_result_is(broken, out):
    broken(errno.ENOSPC, "fsync")
    report = PerformanceReport(place_of(out / "report.html"), page=b"<html>")
    with pytest.raises(
        WriteError, match=r"report\.html: the performance report .* the disk is full.*; the result is wri"
    ):
        report.write()
    assert list(out.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("only root may mount a small disk")
        return folder

    yield mount
    subprocess.run(["umount", folder], capture_output=True, check=False)


@pytest.mark.fault("a small file system that is full", promised="one message; no piece left")
@pytest.mark.parametrize("writer", ["json", "scores", "ingest", "convert", "train"])
def test_a_disk_that_is_really_full_is_one_message_and_leaves_no_piece(writer, commands, fails, small_disk):
    disk = small_disk("size=12k")
    assert f"{disk}" in (said := fails(*commands(writer, disk)))
    assert any(word in said for word in ("full", "bytes are free", "no room"))
    assert pieces(disk) == []


@pytest.mark.fault("a file system without inodes", promised="one message")
@pytest.mark.parametrize("writer", ["json", "convert"])
def test_a_file_system_without_room_for_another_file_is_one_message(writer, commands, fails, small_disk):
    disk = small_disk("size=4m,nr_inodes=2")
    assert any(word in fails(*commands(writer, disk)) for word in ("has no room for another file", "the disk is full"))
    assert pieces(disk) == []


class TestPlaceOfErrors:
    """What no writer explains ends in one place of the command line."""

    def test_an_error_of_the_file_system(self, fails, monkeypatch):
        def deleted(_: object) -> None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "graph.zarr/x")

        monkeypatch.setattr("tracin_dask.cli.actions.show.show", deleted, raising=False)
        monkeypatch.setattr("tracin_dask.cli.main.group", deleted)
        assert "Error: graph.zarr/x: its folder does not exist" in fails("show")

    @pytest.mark.fault("an input that is nested too deeply", promised="one message")
    def test_an_input_that_is_nested_too_deeply(self, fails, monkeypatch):
        def nested(_: object) -> None:
            raise RecursionError

        monkeypatch.setattr("tracin_dask.cli.main.group", nested)
        assert "nested too deeply" in fails("show")
