"""However a run is cut and wherever it is carried out, its result is the same to the last bit."""

import os
import signal

import pytest
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, MakeJob, bits, local_client

from tracin_dask.runs.execute.driver import Execution, _job
from tracin_dask.runs.work.job import merge_scored
from tracin_dask.runs.work.score import prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState

CUTS = [(BATCH_SIZE, 1), (BATCH_SIZE, 100), (3 * BATCH_SIZE, 2), (100 * BATCH_SIZE, 1)]
MODES = pytest.mark.parametrize("mode", ["test", "self"])


@MODES
@pytest.mark.parametrize(("task_rows", "tasks_per_group"), CUTS, ids=str)
def test_task_sizes_change_no_bit(make_job: MakeJob, mode, task_rows, tasks_per_group):
    job = make_job(mode=mode)
    assert bits(job.carry_out(task_rows=task_rows, tasks_per_group=tasks_per_group)) == bits(job.carry_out())


@MODES
def test_two_workers_change_no_bit(make_job: MakeJob, client: Client, mode):
    job = make_job(mode=mode)
    assert bits(job.carry_out(client)) == bits(job.carry_out())


@pytest.mark.parametrize(("task_rows", "tasks_per_group"), CUTS, ids=str)
def test_task_sizes_on_two_workers_change_no_bit(make_job: MakeJob, client: Client, task_rows, tasks_per_group):
    job = make_job()
    on_dask = job.carry_out(client, task_rows=task_rows, tasks_per_group=tasks_per_group)
    assert bits(on_dask) == bits(job.carry_out())
    assert on_dask.run["statistics"]["rows"] == NUM_ROWS


def test_one_worker_changes_no_bit(make_job: MakeJob):
    job = make_job()
    with local_client(1) as client:
        assert bits(job.carry_out(client, task_rows=BATCH_SIZE, tasks_per_group=3)) == bits(job.carry_out())


def test_a_worker_killed_during_a_run_changes_no_bit(make_job: MakeJob, client: Client):
    job = make_job(batch_size=20)
    victim = next(iter(client.run(os.getpid).values()))
    rows_done = []

    def kill_one(done: int, _total: int) -> None:
        if not rows_done:
            os.kill(victim, signal.SIGKILL)
        rows_done.append(done)

    result = job.carry_out(client, execution=Execution(progress=kill_one), task_rows=20, tasks_per_group=8)
    assert rows_done[0] < NUM_ROWS / 2
    assert bits(result) == bits(job.carry_out())
    assert result.run["statistics"]["rows"] == NUM_ROWS
    client.wait_for_workers(2, timeout=60)
    assert victim not in client.run(os.getpid).values()


def test_rows_that_are_scored_again_do_not_count_twice(make_job: MakeJob):
    """A worker repeats a task of its own when the one that took its outcome is lost."""
    planned = make_job(top_k=20)
    job, state = _job(planned.prepared, planned.plan, planned.prepared.reductions()), WorkerState()
    middle = NUM_ROWS // BATCH_SIZE // 2 * BATCH_SIZE
    first, second = (0, middle), (middle, NUM_ROWS)
    test = prepare_test(state, job, planned.prepared.targets)
    parts = [score_rows(state, job, test, rows) for rows in (first, first, first, second)]
    whole = merge_scored(job.reductions, [parts[2], parts[3]]).kept["top_k"]
    other = prepare_test(state, job, planned.prepared.targets)  # factors of another run: nothing is known of them
    fresh = score_rows(state, job, other, (0, NUM_ROWS)).kept["top_k"]
    for side in ("highest", "lowest"):
        found, expected = getattr(whole, side), getattr(fresh, side)
        assert found.train_index.tolist() == expected.train_index.tolist()
        assert found.influence.tobytes() == expected.influence.tobytes()
