"""What a run on Dask sends and holds stays small, and its progress exact."""

import gc
import pickle
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from dask.sizeof import sizeof
from distributed import Client, Worker
from small_graph import BATCH_SIZE, NUM_ROWS, Job, MakeJob, bits, loaded_files

from tracin_dask.influence.columns import Targets
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.runs.execute import on_dask, on_worker
from tracin_dask.runs.execute.driver import Execution, _job
from tracin_dask.runs.work.job import Counters, Prepared, ScoreJob, this_process
from tracin_dask.runs.work.score import prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState

NUM_TASKS = -(-NUM_ROWS // BATCH_SIZE)
SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}
MOST_BYTES_PER_TASK = 250
MOST_FIXED_BYTES = 20_000


@pytest.fixture
def graph_bytes(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the size of every graph that the client sends."""
    sizes, send = [], client._send_to_scheduler

    def weigh(message):
        if message.get("op") == "update-graph":
            sizes.append(sum(memoryview(frame).nbytes for frame in message["expr_ser"].frames))
        send(message)

    monkeypatch.setattr(client, "_send_to_scheduler", weigh)
    return sizes


@pytest.mark.parametrize("batch_size", [BATCH_SIZE, 1])
def test_all_tasks_are_sent_in_one_small_message(make_job: MakeJob, client: Client, graph_bytes, batch_size):
    job = make_job(batch_size=batch_size, audit=0)
    result = job.carry_out(client, task_rows=batch_size, tasks_per_group=20)
    num_tasks = result.run["statistics"]["tasks"]
    assert num_tasks == -(-NUM_ROWS // batch_size)
    of_tasks = 6  # the job, its weights, what is shared, all loads, its counters, and all tasks
    assert len(graph_bytes) == of_tasks + 2  # the job of the test triples' scores and ranks, and their one part
    assert sum(graph_bytes) < MOST_FIXED_BYTES + MOST_BYTES_PER_TASK * num_tasks


def progress_of(job: Job, client: Client, **plan: int) -> list[int]:
    """Carry out a job and give the rows done at every call of its progress function."""
    seen = []
    result = job.carry_out(client, execution=Execution(progress=lambda done, _: seen.append(done)), **plan)
    assert bits(result) == bits(job.carry_out())
    return seen


def test_no_wait_for_a_task_is_cut_short(make_job: MakeJob, client: Client, monkeypatch: pytest.MonkeyPatch):
    def result(_, timeout=None):
        raise UnboundLocalError(f"what Dask raises at times after {timeout} s")

    monkeypatch.setattr("distributed.Future.result", result)
    job = make_job()
    assert bits(job.carry_out(client)) == bits(job.carry_out())


def test_fast_tasks_make_no_more_reports_than_there_are_groups(make_job: MakeJob, client: Client):
    seen = progress_of(make_job(), client, **SMALL_TASKS)
    assert len(seen) == -(-NUM_TASKS // 4)
    assert max(seen) == NUM_ROWS


def test_slow_tasks_are_reported_one_by_one(make_job: MakeJob, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(on_dask, "seconds_between_reports", lambda _: 0.0)
    seen = progress_of(make_job(), client, task_rows=BATCH_SIZE, tasks_per_group=100)
    assert len(seen) == NUM_TASKS
    assert max(seen) == NUM_ROWS


@pytest.fixture
def planned(make_job: MakeJob) -> ScoreJob:
    """Give the job that a worker gets in a usual run."""
    job = make_job()
    return _job(job.prepared, job.plan, job.prepared.reductions())


def test_dask_knows_the_bytes_that_move_between_workers(planned: ScoreJob, make_job: MakeJob):
    state, targets = WorkerState(), Targets(triples=np.tile(make_job().prepared.test_triples, (100, 1)))
    what = replace(planned, num_columns=targets.num_answers)
    test = prepare_test(state, what, targets)
    scored = score_rows(state, what, test, (0, NUM_ROWS))
    shared = on_worker.Shared(job=what, test=test, run="1", report_seconds=1.0)
    for value in (scored, shared):
        assert 0.5 * len(pickle.dumps(value)) < sizeof(value) <= len(pickle.dumps(value))


def test_dask_knows_the_bytes_of_sent_weights(planned: ScoreJob, make_job: MakeJob):
    contents = Contents(model=make_job().prepared.checkpoints[0].model, state={})
    sent = planned.checkpoints[0].dump_contents(contents)
    heavy = replace(planned, checkpoints=(replace(planned.checkpoints[0], sent=sent),))
    shared = [on_worker.Shared(job=job, test=None, run="1", report_seconds=1.0) for job in (planned, heavy)]
    assert sizeof(shared[1]) - sizeof(shared[0]) == len(sent) > 1000


def test_factors_are_counted_where_they_are_computed(planned: ScoreJob, make_job: MakeJob, client: Client):
    bare = on_worker.Shared(job=planned, test=make_job().prepared.targets, run="1", report_seconds=1.0)
    assert on_worker.counters(bare) == Counters()
    whole = client.submit(on_worker.share_prepared, bare, None, None).result()
    assert isinstance(whole.test, Prepared)
    assert on_worker.counters(whole).test_factor_computations == 1


def forget(dask_worker: Worker) -> None:
    vars(dask_worker).pop(on_worker.STATE, None)


def loaded_models(dask_worker: Worker) -> list[str]:
    state = vars(dask_worker).get(on_worker.STATE)
    return [] if state is None else loaded_files(state)


def test_every_worker_loads_the_checkpoint_beside_the_test_factors(make_job: MakeJob, client: Client):
    job = make_job()
    client.run(forget)
    job.carry_out(client, task_rows=NUM_ROWS)  # one task, on one of the workers
    deadline = time.monotonic() + 10
    wanted = [[job.prepared.checkpoints[0].sha256]] * 2
    while list(client.run(loaded_models).values()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(client.run(loaded_models).values()) == wanted


def test_a_worker_process_keeps_freed_memory_and_the_process_of_the_caller_does_not(planned: ScoreJob, monkeypatch):
    called = []
    monkeypatch.setattr(on_worker, "keep_freed_memory", lambda: called.append(True))
    monkeypatch.setattr(on_worker, "get_worker", SimpleNamespace)
    on_worker.state_of_worker(replace(planned, caller=this_process()))
    assert called == []
    on_worker.state_of_worker(replace(planned, caller="1 on another host"))
    assert called == [True]


def test_a_worker_lets_go_of_test_factors_when_the_run_ends(make_job: MakeJob, client: Client):
    make_job().carry_out(client, **SMALL_TASKS)
    deadline = time.monotonic() + 10
    while any(client.run(laid_out).values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(client.run(laid_out).values())


def laid_out(dask_worker: Worker) -> int:
    gc.collect()
    return len(vars(dask_worker)[on_worker.STATE]._laid_out)
