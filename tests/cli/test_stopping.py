"""SIGINT and SIGTERM, once or twice, to a command or to its group: it ends soon, with one line and nothing left."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tracin_dask.triples.ingest import ingest

MAIN = "from tracin_dask.cli.main import main; main()"
NUM_ROWS = 30_000
SECONDS = 10
"""How long a command may take to end."""
START_SECONDS = 200
"""How long it may take to get where it is to be stopped, on a busy machine."""
FOLDERS_OF_LIBRARIES = ("dask-scratch-space", "torchinductor_")
"""Which Dask and PyTorch make once and keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What is seen of a command that was stopped."""

    code: int
    lines: list[str]
    seconds: float
    left: list[str]
    """Processes and temporary files."""


@pytest.fixture(scope="module")
def long_project(write_project, tmp_path_factory):
    project = write_project(tmp_path_factory.mktemp("long"), NUM_ROWS)
    maps = {"entity_to_id": project.folder / "node_dict.txt", "relation_to_id": project.folder / "rel_dict.txt"}
    ingest(project.folder / "train.txt", project.folder / "graph.zarr", **maps)
    return project


@pytest.fixture
def stop_at():
    """Start a command, wait for a line of its standard error that begins so, and stop it."""

    def stop(*words: object, at: str, number: int, to_group: bool = True, times: int = 1) -> Stopped:
        scratch = Path(tempfile.mkdtemp())  # a short path: sockets lie in it
        command = [sys.executable, "-W", "error", "-c", MAIN, *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(scratch)}, **streams) as process:
            limit = time.monotonic() + START_SECONDS
            for line in process.stdout:
                assert time.monotonic() < limit
                if line.startswith(at):
                    break
            children = psutil.Process(process.pid).children(recursive=True)
            started = time.monotonic()
            for _ in range(times):
                (os.killpg if to_group else os.kill)(process.pid, number)
                time.sleep(0.1)
            said, _ = process.communicate(timeout=60)
            seconds = time.monotonic() - started
        _, alive = psutil.wait_procs(children, timeout=1)
        alive = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        files = [path.name for path in scratch.glob("**/*") if path.suffix != ".lock"]
        left = [*map(str, alive), *(name for name in files if not name.startswith(FOLDERS_OF_LIBRARIES))]
        usual = ("dashboard: ", "scored ", "epoch ", "running in ", "  from your own machine: ")
        lines = [line for line in said.splitlines() if not line.startswith(usual)]
        shutil.rmtree(scratch)
        return Stopped(code=process.returncode, lines=lines, seconds=seconds, left=left)

    return stop


def run_words(project, output: Path, *words: object) -> list[object]:
    question = ["--test-triple", *project.test_ids, "--batch-size", 1, "--threads-per-worker", 1]
    files = ["--model-path", project.folder / "model.pt", "--train", project.folder / "graph.zarr", "--output", output]
    return ["run", *files, *question, *words]


@pytest.mark.fault(
    "SIGINT or SIGTERM, once, twice or to the group", promised="one line, exit code 130 or 143, nothing left"
)
@pytest.mark.parametrize("at", ["waiting for workers", "dashboard: "], ids=["while workers start", "while they score"])
@pytest.mark.parametrize(
    "how",
    [{"number": signal.SIGINT}, {"number": signal.SIGTERM, "to_group": False, "times": 2}],
    ids=["Ctrl-C", "SIGTERM twice"],
)
def test_a_run_on_local_workers_is_stopped_with_one_line(long_project, stop_at, tmp_path, at, how):
    words = run_words(long_project, tmp_path / "a.json", "--cluster", "local", "--workers", 1)
    found = stop_at(*words, at=at, **how)
    assert len(found.lines) == 1, found.lines
    assert found.lines[0].startswith(("stopped; finished rows are kept in", "stopped; nothing is kept"))
    assert found.code == 128 + how["number"]
    assert found.seconds < SECONDS
    assert found.left == []


@pytest.mark.fault("SIGINT during a training", promised="one line; checkpoints are kept")
def test_a_training_is_stopped_with_one_line(long_project, stop_at, tmp_path):
    sizes = ["--embedding-dim", 24, "--embedding-height", 4, "--embedding-width", 6, "--checkpoint-frequency", 1]
    words = ["train", "--train", long_project.folder / "train.txt", "-o", tmp_path / "model", *sizes]
    found = stop_at(*words, "--num-workers", 1, "--batch-size", 2000, at="epoch 1/", number=signal.SIGTERM)
    assert found.code == 128 + signal.SIGTERM
    assert found.lines[-1].startswith("stopped; --resume-from-checkpoint ")
    assert "checkpoint_epoch_" in found.lines[-1]
    assert len(found.lines) == 1, found.lines
    assert found.left == []


@pytest.mark.fault("SIGINT while a library does not listen", promised="the command ends within seconds")
def test_a_command_whose_main_thread_is_busy_is_ended_from_outside(tmp_path):
    script = """
import ctypes, os, sys, threading
from distributed.diskutils import WorkSpace
from tracin_dask.cli import main, stopping
scratch = WorkSpace(sys.argv[1]).new_work_dir(prefix="scheduler-")
stopping.LIMIT_SECONDS = 0.5
def busy(*_):
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    while True:
        try:
            print("busy", flush=True)
            libc.pthread_mutex_lock(mutex)  # for ever, outside of Python: no exception arrives
        except KeyboardInterrupt:  # the signal was faster than the lock
            pass
main.group.invoke = busy
main.call(["ingest"])
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"busy\n"
        assert len(list(tmp_path.glob("scheduler-*"))) == 2
        process.terminate()
        assert process.communicate(timeout=30)[1] == b"stopped\n"
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.glob("scheduler-*")) == []
