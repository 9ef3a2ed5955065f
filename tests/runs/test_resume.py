"""A run that was cut off goes on where it stopped, and never with the work of another run."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, Graph, MakeJob, bits, save_checkpoint, small_model

from tracin_dask.errors import ResumeError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.sinks import records
from tracin_dask.runs.sinks.records import Records

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 2}
STOPPED_AFTER = 6 * BATCH_SIZE


class PowerCutError(Exception):
    """What ends a run in these tests."""


def stop_late(done: int, _total: int) -> None:
    """End the run in its fourth group: three are recorded."""
    if done > STOPPED_AFTER:
        raise PowerCutError


@pytest.fixture
def cut_off(make_job: MakeJob, tmp_path: Path) -> Path:
    """Give the records of a run that was cut off."""
    directory = tmp_path / "records"
    with pytest.raises(PowerCutError):
        make_job().carry_out(execution=Execution(record_directory=directory, progress=stop_late), **SMALL_TASKS)
    assert len(list(directory.glob("*.npz"))) == 3
    return directory


def test_a_run_started_again_scores_only_what_is_not_recorded(make_job: MakeJob, cut_off: Path):
    job, seen = make_job(), []
    execution = Execution(record_directory=cut_off, progress=lambda done, total: seen.append((done, total)))
    result = job.carry_out(execution=execution, **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    assert result.run["statistics"]["rows"] == NUM_ROWS
    assert seen[0] == (STOPPED_AFTER, NUM_ROWS)
    assert len(seen) == 1 + (NUM_ROWS - STOPPED_AFTER + BATCH_SIZE - 1) // BATCH_SIZE
    assert seen[-1] == (NUM_ROWS, NUM_ROWS)
    assert bits(result) == bits(job.carry_out())


@pytest.mark.parametrize("cut", [{"task_rows": BATCH_SIZE}, {"task_rows": 5 * BATCH_SIZE, "tasks_per_group": 3}])
def test_a_run_resumes_with_another_task_size(make_job: MakeJob, cut_off: Path, cut):
    job = make_job()
    result = job.carry_out(execution=Execution(record_directory=cut_off), **cut)
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    assert bits(result) == bits(job.carry_out())


def test_an_in_process_run_resumes_on_dask(make_job: MakeJob, cut_off: Path, client: Client):
    job = make_job()
    result = job.carry_out(client, execution=Execution(record_directory=cut_off), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    assert bits(result) == bits(job.carry_out())


def test_an_interrupted_run_on_dask_resumes_in_process(make_job: MakeJob, client: Client, tmp_path: Path, monkeypatch):
    job, execution, write = make_job(), Execution(record_directory=tmp_path / "records"), Records.write

    def write_three(self, rows, scored):
        if len(list((tmp_path / "records").glob("*.npz"))) == 3:
            raise PowerCutError
        write(self, rows, scored)

    monkeypatch.setattr(Records, "write", write_three)
    with pytest.raises(PowerCutError):
        job.carry_out(client, execution=execution, **SMALL_TASKS)
    monkeypatch.undo()
    result = job.carry_out(execution=execution, **SMALL_TASKS)
    assert 0 < result.run["statistics"]["resumed_rows"] <= STOPPED_AFTER
    assert bits(result) == bits(job.carry_out())


def test_a_self_influence_run_resumes(make_job: MakeJob, tmp_path: Path):
    job, directory = make_job(mode="self"), tmp_path / "records"
    with pytest.raises(PowerCutError):
        job.carry_out(execution=Execution(record_directory=directory, progress=stop_late), **SMALL_TASKS)
    result = job.carry_out(execution=Execution(record_directory=directory), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    assert bits(result) == bits(job.carry_out())


def test_a_finished_run_keeps_its_records_until_they_are_discarded(make_job: MakeJob, tmp_path: Path):
    job, directory = make_job(), tmp_path / "deep" / "records"
    first = job.carry_out(execution=Execution(record_directory=directory))
    again = job.carry_out(execution=Execution(record_directory=directory))
    assert again.run["statistics"]["resumed_rows"] == NUM_ROWS
    assert again.run["statistics"]["test_factor_computations"] == 0
    assert bits(again) == bits(first)
    records.discard(directory)
    assert not directory.exists()


def test_rank_by_may_change_when_resuming(make_job: MakeJob, cut_off: Path):
    job = make_job(rank_by="opponents")
    result = job.carry_out(execution=Execution(record_directory=cut_off))
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    assert bits(result) == bits(job.carry_out())


class OtherLoss:
    """A loss that pretends to be the default one."""

    name = "bce"

    def value(self, scores: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(-2 * scores)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"top_k": 21}, r"top k: 20 then, 21 now"),
        ({"batch_size": 2 * BATCH_SIZE}, rf"batch size: {BATCH_SIZE} then, {2 * BATCH_SIZE} now"),
        ({"tests": [[0, 0, 1]]}, r"test triples: \w{12}… then, \w{12}… now"),
        ({"mode": "self"}, r"test triples: \w{12}… then, none now"),
        ({"learning_rate": 0.5}, r"learning rate: 0.01 then, 0.5 now"),
        ({"loss": OtherLoss()}, r"loss: bce, own score, values \w+ then, bce, own score, values \w+ now"),
        ({"last_layers": 2}, r"parameters: \[.*\] then, \['fc.bias', 'fc.weight'\] now"),
        ({"precision": "bf16"}, r"precision: float32 then, bf16 now"),
        ({"gradient_checkpointing": True}, r"gradient checkpointing: False then, True now"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_records_of_another_run_are_refused_and_the_difference_named(
    make_job: MakeJob, cut_off: Path, options, difference
):
    with pytest.raises(ResumeError, match=rf"holds the finished part of another run \({difference}\); .*--restart"):
        make_job(**options).carry_out(execution=Execution(record_directory=cut_off))


def test_resuming_with_another_checkpoint_is_refused(make_job: MakeJob, cut_off: Path, tmp_path: Path):
    other = load_checkpoint(save_checkpoint(tmp_path / "other.pt", small_model(seed=8)))
    with pytest.raises(ResumeError, match=r"\(checkpoint: \w{12}… then, \w{12}… now\)"):
        make_job(model=other).carry_out(execution=Execution(record_directory=cut_off))


def test_resuming_with_another_number_of_threads_is_refused(make_job: MakeJob, cut_off: Path):
    job = make_job()
    resources = type(job.plan.resources)(threads_per_worker=2, memory_bytes=2 << 30)
    with pytest.raises(ResumeError, match="threads per worker: 1 then, 2 now"):
        job.carry_out(execution=Execution(record_directory=cut_off), resources=resources)


def test_restart_discards_the_records_of_another_run(make_job: MakeJob, cut_off: Path):
    job = make_job(top_k=7)
    result = job.carry_out(execution=Execution(record_directory=cut_off, restart=True), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == 0
    assert bits(result) == bits(job.carry_out())


@pytest.mark.parametrize("kept_bytes", [0, 1, 100, -1])
def test_a_truncated_record_is_refused_with_its_name(make_job: MakeJob, cut_off: Path, kept_bytes):
    record = sorted(cut_off.glob("*.npz"))[1]
    record.write_bytes(record.read_bytes()[:kept_bytes])
    with pytest.raises(ResumeError, match=rf"{record.name}: damaged record .* delete it"):
        make_job().carry_out(execution=Execution(record_directory=cut_off))


def test_a_flipped_bit_in_a_record_is_refused(make_job: MakeJob, cut_off: Path):
    record = min(cut_off.glob("*.npz"))
    content = bytearray(record.read_bytes())
    content[content.index(b"NUMPY") + 140] ^= 1
    record.write_bytes(content)
    with pytest.raises(ResumeError, match=rf"{record.name}: damaged record"):
        make_job().carry_out(execution=Execution(record_directory=cut_off))


def test_a_deleted_record_is_computed_again(make_job: MakeJob, cut_off: Path):
    sorted(cut_off.glob("*.npz"))[1].unlink()
    job = make_job()
    result = job.carry_out(execution=Execution(record_directory=cut_off))
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER - 2 * BATCH_SIZE
    assert bits(result) == bits(job.carry_out())


def test_overlapping_records_are_refused(make_job: MakeJob, cut_off: Path):
    records = Records(cut_off, json.loads((cut_off / "run.json").read_text()), make_job().prepared.reductions())
    records.write((0, BATCH_SIZE), next(records.finished())[1])
    with pytest.raises(ResumeError, match="are also in another record: two runs wrote"):
        make_job().carry_out(execution=Execution(record_directory=cut_off))


def test_records_without_run_metadata_are_refused(make_job: MakeJob, cut_off: Path):
    (cut_off / "run.json").unlink()
    with pytest.raises(ResumeError, match=r"another run .*top k: None then, 20 now"):
        make_job().carry_out(execution=Execution(record_directory=cut_off))


def test_a_partially_written_record_does_not_count(make_job: MakeJob, cut_off: Path):
    (cut_off / f"rows-{STOPPED_AFTER:012d}-{NUM_ROWS:012d}.npz.part").write_bytes(b"half of it")
    result = make_job().carry_out(execution=Execution(record_directory=cut_off))
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    records.discard(cut_off)
    assert not cut_off.exists()


def test_a_record_reads_back_equal(make_job: MakeJob, cut_off: Path):
    identity = json.loads((cut_off / "run.json").read_text())
    reductions = make_job().prepared.reductions()
    rows, scored = next(Records(cut_off, identity, reductions).finished())
    Records(cut_off.with_name("copy"), identity, reductions).write(rows, scored)
    assert min(cut_off.glob("*.npz")).read_bytes() == next(cut_off.with_name("copy").glob("*.npz")).read_bytes()


def test_a_record_is_written_from_arrays_alone(make_job: MakeJob, cut_off: Path, monkeypatch):
    identity = json.loads((cut_off / "run.json").read_text())
    kept = Records(cut_off, identity, make_job().prepared.reductions())
    written: dict[str, object] = {}
    monkeypatch.setattr(np, "savez", lambda _file, **named: written.update(named))
    kept.write(*next(kept.finished()))
    # NumPy before 2.1 stores any other argument as one more array, and the record cannot be read
    assert [name for name, value in written.items() if not isinstance(value, np.ndarray)] == []


PROGRAM = """
import sys
from pathlib import Path
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution, carry_out
from tracin_dask.runs.plan.plan import make_plan
from tracin_dask.runs.prepare import prepare
from tracin_dask.resources import Resources
from tracin_dask.triples.store import open_store
from dataclasses import replace

store, model, directory, batch_size = sys.argv[1:]
checkpoint, config = load_checkpoint(model), RunConfig.of(top_k=20, batch_size=int(batch_size), mode="self")
prepared = prepare(open_store(store), checkpoint, config=config)
plan = make_plan(checkpoint.config, prepared.workload, config, Resources(memory_bytes=2 << 30))
plan = replace(plan, task_rows=int(batch_size), tasks_per_group=1)
carry_out(prepared, plan, execution=Execution(record_directory=Path(directory)))
"""


def test_a_run_resumes_after_its_process_was_killed(
    make_job: MakeJob, graph: Graph, checkpoint: Checkpoint, tmp_path: Path
):
    directory = tmp_path / "records"
    command = [sys.executable, "-c", PROGRAM, graph.store.path, str(checkpoint.path), str(directory), "2"]
    process = subprocess.Popen(command)
    patience_ends = time.monotonic() + 60
    while len(list(directory.glob("*.npz"))) < 1 and process.poll() is None and time.monotonic() < patience_ends:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    job = make_job(mode="self", batch_size=2)
    result = job.carry_out(execution=Execution(record_directory=directory))
    assert 0 < result.run["statistics"]["resumed_rows"] < NUM_ROWS
    assert bits(result) == bits(job.carry_out())
