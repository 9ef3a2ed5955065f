"""`ingest` and `convert` are stopped in the middle of writing: one line, the exit code, and targets as they were."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracin_dask.models.load import load_checkpoint

STOPPED_IN_THE_MIDDLE = """
import importlib, sys, time
from tracin_dask.cli.main import call
module, name, times = importlib.import_module(sys.argv[1]), sys.argv[2], int(sys.argv[3])
write, done = getattr(module, name), []
def slow(*arguments, **options):
    write(*arguments, **options)
    done.append(name)
    if len(done) == times:
        print("in the middle", flush=True)
        time.sleep(300)
setattr(module, name, slow)
call(sys.argv[4:])
"""
HOWS = {"Ctrl-C": (signal.SIGINT, False), "SIGTERM twice, to the group": (signal.SIGTERM, True)}


@pytest.fixture(params=HOWS)
def stop_in(request):
    """Run a command, stop it after a function was called so often, check its exit code, and give its lines."""
    number, twice = HOWS[request.param]

    def stop(module: str, name: str, times: int, *words: object) -> list[str]:
        command = [sys.executable, "-W", "error", "-c", STOPPED_IN_THE_MIDDLE, module, name, str(times)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        with subprocess.Popen([*command, *map(str, words)], **streams) as process:
            said = iter(process.stdout.readline, "in the middle\n")
            assert "" not in said, process.stderr.read()
            for _ in range(1 + twice):
                (os.killpg if twice else os.kill)(process.pid, number)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        return errors.splitlines()

    return stop


def contents(folder: Path) -> dict[str, bytes]:
    """Read everything below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.fault("SIGINT or SIGTERM while a store is written", promised="one line; the output is as it was before")
@pytest.mark.parametrize(
    ("name", "exists"), [("sort_triples", False), ("write_store", True)], ids=["new store", "--overwrite"]
)
def test_an_ingest_is_stopped_with_one_line_and_leaves_the_output_as_it_was(stop_in, tool, tmp_path, name, exists):
    train, output = tmp_path / "train.txt", tmp_path / "graph.zarr"
    train.write_text("a\tr\tb\nb\tr\ta\n")
    if exists:
        tool("ingest", train, "-o", output)
    train.write_text("a\tr\tb\nb\tr\ta\nb\tr\tb\n")
    before = contents(tmp_path)
    lines = stop_in("tracin_dask.triples.ingest", name, 1, "ingest", train, "-o", output, "--overwrite")
    assert lines[-1:] == [f"stopped; {output} is as it was before"]
    assert all(line.startswith(("reading ", "writing ")) for line in lines[:-1]), lines
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({name.split("/")[0] for name in before})


@pytest.mark.fault("SIGINT or SIGTERM while files are converted", promised="one line; whole files or none")
def test_a_conversion_is_stopped_with_one_line_and_leaves_whole_files(stop_in, project, tmp_path):
    for name in ("a.pt", "b.pt", "c.pt"):
        (tmp_path / "given").mkdir(exist_ok=True)
        shutil.copy(project.folder / "model.pt", tmp_path / "given" / name)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "b.pt").write_bytes(b"another file")
    folders = ["--input-dir", tmp_path / "given", "--output-dir", tmp_path / "made", "--to", "pykeen", "--overwrite"]
    lines = stop_in("torch", "save", 2, "convert", *folders)
    assert lines == ["stopped; 1 of 3 files were converted"]
    assert sorted(contents(tmp_path / "made")) == ["a.pt", "b.pt"]
    assert (tmp_path / "made" / "b.pt").read_bytes() == b"another file"
    assert load_checkpoint(tmp_path / "made" / "a.pt").format.name == "pykeen"
