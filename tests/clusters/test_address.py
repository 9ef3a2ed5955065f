"""Clusters that somebody else started: found by address or file, left running, and clear errors where they are not."""

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from distributed import LocalCluster

from tracin_dask.clusters import address, attached
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ClusterError


def start(name, *words):
    module = [sys.executable, "-m", f"distributed.cli.{name}"]
    return subprocess.Popen([*module, *words, "--host", "127.0.0.1", "--no-dashboard"], stderr=subprocess.DEVNULL)


@contextmanager
def running(file):
    """Give the process of a scheduler that has one worker; both are processes of their own."""
    with start("dask_scheduler", "--port", "0", "--scheduler-file", str(file)) as scheduler:
        wait_for(file, scheduler)
        with start("dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny") as worker:
            yield scheduler
            worker.terminate()
        scheduler.terminate()


@pytest.fixture(scope="module")
def scheduler_file(tmp_path_factory):
    """The file of a scheduler that has one worker."""
    file = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    with running(file):
        yield file


def wait_for(file, process):
    deadline = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def opened(text):
    return parse_cluster(str(text)).open(Start())


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_running_cluster_is_found_by_file_and_by_address_and_left_running(scheduler_file):
    by_address = json.loads(scheduler_file.read_text())["address"]
    for text in (scheduler_file, by_address, scheduler_file):
        with opened(text) as found:
            client = found.client
            assert found.resources.num_workers == 1
            assert client.scheduler.address == by_address
            assert [worker["nthreads"] for worker in client.scheduler_info()["workers"].values()] == [1]
            assert client.submit(sum, [1, 2, 3]).result() == 6


@pytest.mark.fault("a scheduler that is lost during a run", promised="Dask's client prints no traceback")
def test_a_client_that_looks_for_a_lost_scheduler_is_closed_without_a_traceback(tmp_path, caplog):
    with running(tmp_path / "scheduler.json") as scheduler, opened(tmp_path / "scheduler.json") as found:
        scheduler.kill()
        deadline = time.monotonic() + 60
        while found.client.status == "running":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # the client tries again and again to connect
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.fault("an address where no scheduler answers", promised="one message")
def test_an_address_without_answer_is_refused(monkeypatch):
    monkeypatch.setattr(attached, "TIMEOUT_SECONDS", 1.0)
    where = f"tcp://127.0.0.1:{free_port()}"
    with (
        pytest.raises(ClusterError, match=f"no scheduler answers at {where} within 1 s .*; start one with `dask sched"),
        opened(where),
    ):
        pass


def test_a_missing_scheduler_file_is_refused(tmp_path):
    with (
        pytest.raises(ClusterError, match=r"none\.json: no such scheduler file; `dask scheduler --scheduler-file"),
        opened(tmp_path / "none.json"),
    ):
        pass


@pytest.mark.fault("a file that is no scheduler file", promised="one message")
@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]"])
def test_a_file_that_is_not_a_scheduler_file_is_refused(tmp_path, text):
    file = tmp_path / "scheduler.json"
    file.write_text(text)
    with pytest.raises(ClusterError, match=r"scheduler\.json: not the scheduler file of a Dask cluster"), opened(file):
        pass


@pytest.mark.fault("a scheduler without workers", promised="one message")
def test_a_scheduler_without_workers_is_refused(monkeypatch):
    monkeypatch.setattr(address, "MINUTE", 1)
    with (
        LocalCluster(
            n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        pytest.raises(
            ClusterError, match=r"has no worker\(s\) after 1 minute\(s\), not 1; start some with `dask worker ADDRESS"
        ),
        opened(cluster.scheduler_address),
    ):
        pass
