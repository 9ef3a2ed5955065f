"""What a run on Dask sends and holds stays small, and its progress exact."""

import pickle
import time
from dataclasses import replace

import numpy as np
import pytest
from dask.sizeof import sizeof
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, Job, MakeJob, bits

from tracin_dask.runs.execute import on_dask
from tracin_dask.runs.execute.driver import Execution, _job
from tracin_dask.runs.work import loading
from tracin_dask.runs.work.job import Counters, Prepared
from tracin_dask.runs.work.score import prepare_test, score_rows

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
    job = make_job(batch_size=batch_size)
    result = job.carry_out(client, task_rows=batch_size, tasks_per_group=20)
    num_tasks = result.run["statistics"]["tasks"]
    assert num_tasks == -(-NUM_ROWS // batch_size)
    assert len(graph_bytes) == 5  # the job, what is shared, all loads, its counters, and all tasks
    assert sum(graph_bytes) < MOST_FIXED_BYTES + MOST_BYTES_PER_TASK * num_tasks


def progress_of(job: Job, client: Client, **plan: int) -> list[int]:
    """Carry out a job and give the rows done at every call of its progress function."""
    seen = []
    result = job.carry_out(client, execution=Execution(progress=lambda done, _: seen.append(done)), **plan)
    assert bits(result) == bits(job.carry_out())
    return seen


def test_fast_tasks_make_no_more_reports_than_there_are_groups(make_job: MakeJob, client: Client):
    seen = progress_of(make_job(), client, **SMALL_TASKS)
    assert len(seen) == -(-NUM_TASKS // 4)
    assert max(seen) == NUM_ROWS


def test_slow_tasks_are_reported_one_by_one(make_job: MakeJob, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(on_dask, "seconds_between_reports", lambda _: 0.0)
    seen = progress_of(make_job(), client, task_rows=BATCH_SIZE, tasks_per_group=100)
    assert len(seen) == NUM_TASKS
    assert max(seen) == NUM_ROWS


def test_dask_knows_the_bytes_that_move_between_workers(make_job: MakeJob):
    job = make_job()
    what = _job(job.prepared, job.plan)
    test = prepare_test(what, np.tile(job.prepared.test_triples, (100, 1)))
    what = replace(what, num_columns=len(test.tests[0]))
    scored = score_rows(what, test, (0, NUM_ROWS))
    shared = on_dask._Shared(job=what, test=test, run="1", report_seconds=1.0)
    for value in (scored, shared):
        assert 0.5 * len(pickle.dumps(value)) < sizeof(value) <= len(pickle.dumps(value))


def test_dask_knows_the_bytes_of_sent_weights(make_job: MakeJob):
    job = make_job()
    what = _job(job.prepared, job.plan)
    heavy = replace(what, checkpoints=(replace(what.checkpoints[0], weights=b"x" * 1000),))
    shared = [on_dask._Shared(job=j, test=None, run="1", report_seconds=1.0) for j in (what, heavy)]
    assert sizeof(shared[1]) - sizeof(shared[0]) == 1000


def test_factors_are_counted_where_they_are_computed(make_job: MakeJob):
    job = make_job()
    what = _job(job.prepared, job.plan)
    bare = on_dask._Shared(job=what, test=job.prepared.test_triples, run="1", report_seconds=1.0)
    assert on_dask._counters(bare) == Counters()
    whole = on_dask._share_prepared(bare, None)
    assert isinstance(whole.test, Prepared)
    assert on_dask._counters(whole).test_factor_computations == 1


def loaded_models() -> list[str]:
    return [key[0] for key in loading._models]


def test_every_worker_loads_the_checkpoint_beside_the_test_factors(make_job: MakeJob, client: Client):
    job = make_job()
    client.run(loading._models.clear)
    job.carry_out(client, task_rows=NUM_ROWS)  # one task, on one of the workers
    deadline = time.monotonic() + 10
    wanted = [[job.prepared.checkpoints[0].sha256]] * 2
    while list(client.run(loaded_models).values()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(client.run(loaded_models).values()) == wanted
