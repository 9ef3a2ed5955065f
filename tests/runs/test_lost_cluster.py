"""A run whose workers or scheduler are gone or silent says so, and ends where nobody will come; results survive."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from distributed import Client
from distributed.comm import CommClosedError
from small_graph import BATCH_SIZE, MakeJob, bits, local_client

from tracin_dask.errors import ClusterError
from tracin_dask.patience import Patience
from tracin_dask.resources import ask
from tracin_dask.runs.execute.driver import Execution

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 1}
SOON = Patience(look_seconds=0.2, answer_seconds=0.5, tell_seconds=2.0)
"""Workers are heard of once a second."""


def end_all_workers(client: Client) -> None:
    """Let all nannies give up, as they do when their workers cannot start again."""
    for nanny in list(client.cluster.workers.values()):
        client.cluster.sync(nanny.close)


def test_a_run_ends_if_all_workers_are_gone_and_no_other_will_come(make_job: MakeJob, tmp_path: Path):
    with local_client(1) as client:
        ending = threading.Thread(target=end_all_workers, args=[client])

        def after_a_group(*_: int) -> None:
            if ending.ident is None:
                ending.start()
                time.sleep(1)  # the thread of the client: what is finished then is not heard of

        execution = Execution(
            record_directory=tmp_path / "records", progress=after_a_group, patience=SOON, workers_return=False
        )
        with pytest.raises(ClusterError, match="all workers are gone, and no other will come; finished rows are kept"):
            make_job(batch_size=8).carry_out(client, execution=execution, task_rows=8, tasks_per_group=1)
        ending.join()
    assert list((tmp_path / "records").glob("rows-*"))


def test_a_run_says_once_that_no_worker_is_left_where_others_may_come(make_job: MakeJob, caplog):
    with local_client(1) as client:
        end_all_workers(client)
        client.cluster.workers.clear()
        threading.Timer(4, client.cluster.scale, [1]).start()
        job = make_job()
        result = job.carry_out(client, execution=Execution(patience=SOON), **SMALL_TASKS)
    assert bits(result) == bits(job.carry_out())
    told = [record.message for record in caplog.records if "has no worker left" in record.message]
    assert len(told) == 1
    assert told[0].endswith("the run waits until some come")


def test_a_run_says_once_which_worker_is_stopped(make_job: MakeJob, client: Client, caplog):
    make_job().carry_out(client)  # workers that import PyTorch are silent for a while, too
    address, pid = next(iter(client.run(os.getpid).items()))
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(5, os.kill, [pid, signal.SIGCONT]).start()
    job = make_job()
    result = job.carry_out(client, execution=Execution(patience=SOON), **SMALL_TASKS)
    assert bits(result) == bits(job.carry_out())
    told = [record.message for record in caplog.records if "have not been heard of" in record.message]
    assert len(told) == 1
    assert f"1 of 2 worker(s) have not been heard of for 2 s, {address} for one: stopped" in told[0]


class Answers:
    """A client whose scheduler asks one worker: each time, it answers or an error is raised."""

    def __init__(self, *errors: OSError, status: str = "running") -> None:
        self.errors, self.status = list(errors), status

    def run(self, function, *_: object) -> dict[str, object]:
        if self.errors:
            raise self.errors.pop(0)
        return {"tcp://worker": function()}


class TestAsking:
    STOPPED = OSError("Timed out trying to connect to tcp://worker after 30 s")

    @pytest.mark.fault("a worker that is stopped before its first task", promised="it is asked again until it answers")
    def test_a_worker_that_is_stopped_or_restarts_is_asked_again(self):
        checks: list[None] = []
        client = Answers(self.STOPPED, CommClosedError("in <TCP>"))
        assert ask(client, lambda: 7, check=lambda: checks.append(None)) == {"tcp://worker": 7}
        assert len(checks) == 3

    @pytest.mark.parametrize(
        "client", [Answers(STOPPED, status="closed"), Answers(PermissionError("a folder of the worker"))]
    )
    def test_a_lost_scheduler_and_errors_of_the_function_are_raised(self, client):
        with pytest.raises(OSError, match="worker"):
            ask(client, lambda: 7)


@pytest.fixture
def scheduler(tmp_path: Path):
    """A scheduler in a process of its own, with one worker, and its address."""
    file = tmp_path / "scheduler.json"
    words = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    with subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *words], stderr=subprocess.DEVNULL
    ) as process:
        with subprocess.Popen(
            [
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
                "--scheduler-file",
                str(file),
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
            ],
            stderr=subprocess.DEVNULL,
        ) as worker:
            yield process, file
            worker.kill()
        process.kill()


def test_a_run_ends_with_one_message_if_the_scheduler_is_lost(make_job: MakeJob, scheduler, tmp_path: Path):
    process, file = scheduler

    def after_a_group(*_: int) -> None:
        process.kill()

    execution = Execution(record_directory=tmp_path / "records", progress=after_a_group)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
        with pytest.raises(
            ClusterError, match=r"the scheduler at tcp://\S+ is gone, or the connection to it; finished"
        ):
            make_job(batch_size=8).carry_out(client, execution=execution, task_rows=8, tasks_per_group=1)


def test_a_run_says_once_that_the_scheduler_does_not_answer(make_job: MakeJob, scheduler, caplog):
    process, file = scheduler
    job, is_stopped = make_job(batch_size=8), []

    def after_a_group(*_: int) -> None:
        if not is_stopped:
            is_stopped.append(True)
            process.send_signal(signal.SIGSTOP)
            threading.Timer(3, process.send_signal, [signal.SIGCONT]).start()

    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
        execution = Execution(progress=after_a_group, patience=SOON)
        result = job.carry_out(client, execution=execution, task_rows=8, tasks_per_group=1)
    assert bits(result) == bits(job.carry_out())
    told = [record.message for record in caplog.records if "does not answer" in record.message]
    assert len(told) == 1
