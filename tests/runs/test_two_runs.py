"""Two runs with one output: the second is refused at once, and results never mix, whenever the runs are killed."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_graph import Graph, MakeJob, bits

from tracin_dask.errors import ResumeError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.places.place import BusyError
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.sinks import records
from tracin_dask.runs.sinks.saved_scores import locked, scores_of

BATCH_SIZE = 8
A, B = [[0, 0, 1], [2, 1, 3]], [[5, 2, 7], [8, 3, 9]]
PROGRAM = """
import json, sys, time
from dataclasses import replace
import numpy as np
from tracin_dask.models.load import load_checkpoint
from tracin_dask.resources import Resources
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution, carry_out
from tracin_dask.runs.plan.plan import make_plan
from tracin_dask.runs.prepare import prepare
from tracin_dask.triples.store import open_store

store, model, folder, tests, batch_size, scores = json.loads(sys.argv[1])
config = RunConfig.of(top_k=20, batch_size=batch_size, save_scores=scores)
checkpoint = load_checkpoint(model)
prepared = prepare(open_store(store), checkpoint, np.array(tests), config=config)
plan = make_plan(checkpoint.config, prepared.workload, config, Resources(memory_bytes=2 << 30))
slow = Execution(record_directory=folder, progress=lambda done, total: time.sleep(5 if done > 40 else 0))
carry_out(prepared, replace(plan, task_rows=batch_size, tasks_per_group=1), execution=slow)
"""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Runs as processes of their own, slow enough to be killed in the middle."""

    store: str
    model: str
    folder: Path

    def start(self, tests: list[list[int]], folder: Path, scores: str | None = None) -> "subprocess.Popen[str]":
        given = json.dumps([self.store, self.model, str(folder), tests, BATCH_SIZE, scores])
        return subprocess.Popen([sys.executable, "-c", PROGRAM, given], stderr=subprocess.PIPE, text=True)

    def start_and_wait(self, tests: list[list[int]], scores: str | None = None) -> "subprocess.Popen[str]":
        """Start a run and wait until it has recorded some more rows."""
        known, process = num_records(self.folder), self.start(tests, self.folder, scores)
        while num_records(self.folder) < known + 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process

    def refused(self, tests: list[list[int]], folder: Path, scores: str | None = None) -> str:
        process = self.start(tests, folder, scores)
        said = process.communicate()[1]
        assert process.returncode == 1
        return said


def num_records(folder: Path) -> int:
    return len(list(folder.glob("rows-*.npz")))


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture
def runs(graph: Graph, checkpoint: Checkpoint, tmp_path: Path) -> Runs:
    return Runs(store=graph.store.path, model=str(checkpoint.path), folder=tmp_path / "records")


@pytest.mark.fault(
    "a second run into one folder, both killed, the first repeated", promised="the second is refused; nothing mixes"
)
def test_a_second_run_into_one_folder_is_refused_and_nothing_mixes_after_kills(runs: Runs, make_job: MakeJob):
    job = make_job(tests=A, batch_size=BATCH_SIZE)
    first = runs.start_and_wait(B)
    said = runs.refused(A, runs.folder)
    assert f"BusyError: {runs.folder}: process {first.pid} on {socket.gethostname()} (since " in said
    kill(first)
    with pytest.raises(ResumeError, match=r"holds the finished part of another run \(test triples"):
        job.carry_out(execution=Execution(record_directory=runs.folder))
    records.discard(runs.folder)
    kill(runs.start_and_wait(A))
    found = job.carry_out(execution=Execution(record_directory=runs.folder))
    assert found.run["statistics"]["resumed_rows"] > 0
    assert bits(found) == bits(job.carry_out())


def test_a_second_run_that_saves_scores_at_one_path_is_refused(runs: Runs, tmp_path: Path):
    scores = str(tmp_path / "scores.zarr")
    first = runs.start_and_wait(B, scores)
    said = runs.refused(A, tmp_path / "others", scores)
    kill(first)
    assert f"BusyError: {scores}: process {first.pid} on" in said


def cut_off(make_job: MakeJob, folder: Path, tests: list[list[int]]) -> Path:
    class StopError(Exception):
        pass

    def stop(done: int, _total: int) -> None:
        if done > 300:
            raise StopError

    job = make_job(tests=tests, batch_size=BATCH_SIZE)
    with pytest.raises(StopError):
        job.carry_out(execution=Execution(record_directory=folder, progress=stop), task_rows=64, tasks_per_group=1)
    return folder


@pytest.mark.fault("records of another run in the folder", promised="they are refused")
def test_records_that_another_run_wrote_without_a_lock_are_refused(make_job: MakeJob, tmp_path: Path):
    """Each wrote its own `run.json`, on a file system that has no locks."""
    of_a, of_b = cut_off(make_job, tmp_path / "a", A), cut_off(make_job, tmp_path / "b", B)
    last = max(of_b.glob("rows-*.npz"))
    shutil.copy(last, of_a / last.name)
    job, execution = make_job(tests=A, batch_size=BATCH_SIZE), Execution(record_directory=of_a)
    with pytest.raises(ResumeError, match=rf"{last.name}: a record of another run .* two runs wrote here .* --restart"):
        job.carry_out(execution=execution)
    (of_a / last.name).unlink()
    assert bits(job.carry_out(execution=execution)) == bits(job.carry_out())


def test_a_run_holds_its_folder_until_it_ends(make_job: MakeJob, tmp_path: Path):
    job, seen = make_job(), []

    def look(_done: int, _total: int) -> None:
        with pytest.raises(BusyError), records.locked(tmp_path):
            pass
        seen.append((tmp_path / ".lock").exists())

    job.carry_out(execution=Execution(record_directory=tmp_path, progress=look))
    assert all(seen)
    assert not (tmp_path / ".lock").exists()


def test_a_run_holds_its_scores_until_it_ends(make_job: MakeJob, tmp_path: Path):
    job, seen = make_job(save_scores=tmp_path / "scores.zarr"), []
    scores = scores_of(job.prepared)
    assert scores is not None

    def look(done: int, _total: int) -> None:
        with pytest.raises(BusyError), locked(scores):
            pass
        seen.append(done)

    job.carry_out(execution=Execution(progress=look))
    assert seen
    assert [path.name for path in tmp_path.iterdir()] == ["scores.zarr"]


class TestForeignFiles:
    @pytest.mark.fault("a foreign or damaged run.json among the records", promised="one message")
    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": ' * 100_000, "\x00\xff"])
    def test_a_foreign_run_file_is_refused(self, make_job: MakeJob, tmp_path: Path, text):
        folder = cut_off(make_job, tmp_path / "a", A)
        (folder / "run.json").write_text(text)
        with pytest.raises(ResumeError, match=r"run\.json: (damaged|not the description of a run).* --restart"):
            make_job(tests=A, batch_size=BATCH_SIZE).carry_out(execution=Execution(record_directory=folder))

    @pytest.mark.fault("a foreign file with the name of a record", promised="one message that names it")
    @pytest.mark.parametrize("kind", ["text", "array", "folder", "archive"])
    def test_a_foreign_record_is_refused_with_its_name(self, make_job: MakeJob, tmp_path: Path, kind):
        folder = cut_off(make_job, tmp_path / "a", A)
        foreign = folder / "rows-notes.npz"
        if kind == "folder":
            foreign.mkdir()
        else:
            whole = next(folder.glob("rows-0*.npz")).read_bytes()
            array = (
                b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (), }"
                + b" " * 60
                + b"\n"
                + b"0" * 8
            )
            foreign.write_bytes({"text": b"some notes", "array": array, "archive": whole[: len(whole) // 2]}[kind])
        with pytest.raises(ResumeError, match=r"rows-notes\.npz: damaged record"):
            make_job(tests=A, batch_size=BATCH_SIZE).carry_out(execution=Execution(record_directory=folder))

    @pytest.mark.fault("other files among the records", promised="they stay, and a message names the folder")
    def test_other_files_among_the_records_stay(self, tmp_path: Path):
        (tmp_path / "notes.txt").touch()
        assert not records.discard(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    @pytest.mark.fault("the folder of records is deleted before the end", promised="the result is written")
    def test_a_folder_that_was_deleted_is_no_error_at_the_end(self, tmp_path: Path):
        assert records.discard(tmp_path / "gone")
