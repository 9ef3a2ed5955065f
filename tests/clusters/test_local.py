"""Local workers: their sizes, where they listen, and that nothing of them stays."""

import base64
import logging
import os
import sys
import time
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from urllib.parse import urlsplit

import psutil
import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from distributed import Client, LocalCluster, default_client
from distributed.comm.core import CommClosedError

from tracin_dask.clusters import local, started
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.local import Local
from tracin_dask.monitor.plugin import RunMonitor
from tracin_dask.patience import Patience
from tracin_dask.resources import Machine, Resources, WorkerOptions

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""Tornado leaves a socket to the garbage collector where the dashboard's port is in use."""

GIB = 2**30


def listening(pid: int) -> set[str]:
    found = [one for one in psutil.net_connections(kind="inet") if one.pid == pid]  # of a process: only since psutil 6
    return {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN}


def sized(num_workers: int, memory_bytes: int) -> Start:
    return Start(resources=Resources(num_workers=num_workers, memory_bytes=memory_bytes))


def wait_until(is_so, seconds=10):
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


@pytest.fixture(scope="module")
def opened():
    """What two clusters, one opened while the other runs, say of themselves; both are closed."""
    facts = []
    with Local().open(sized(2, GIB)) as first:
        with Local().open(sized(1, GIB // 2)) as second:
            for one in (first.client, second.client):
                pids = one.run(os.getpid)
                facts.append(
                    {
                        "workers": one.scheduler_info()["workers"],
                        "scheduler": one.scheduler.address,
                        "dashboard": one.dashboard_link,
                        "pids": list(pids.values()),
                        "listening": set.union(*map(listening, [os.getpid(), *pids.values()])),
                        "sum": one.submit(sum, [1, 2, 3]).result(),
                    }
                )
        still_there = first.client.submit(sum, [1, 2]).result()
    return facts, still_there


def test_local_workers_have_one_dask_thread_and_the_stated_memory(opened):
    (first, second), _ = opened
    sizes = [[(w["nthreads"], w["memory_limit"]) for w in facts["workers"].values()] for facts in (first, second)]
    assert sizes == [[(1, GIB)] * 2, [(1, GIB // 2)]]


def test_a_local_cluster_listens_on_the_loopback_interface_only(opened):
    for facts in opened[0]:
        assert facts["scheduler"].startswith("tls://127.0.0.1:")
        assert facts["dashboard"].startswith("http://127.0.0.1:")
        assert all(address.startswith("tls://127.0.0.1:") for address in facts["workers"])
        assert facts["listening"] == {"127.0.0.1"}


@pytest.mark.fault("another account of the machine connects to a local cluster", promised="it is refused")
def test_a_client_without_the_certificate_cannot_use_a_local_cluster():
    with Local().open(sized(1, GIB)) as opened:
        (worker,) = opened.client.scheduler_info()["workers"]
        for address in (opened.client.scheduler.address, worker):
            for scheme, message in (("tls", "TLS"), ("tcp", "timed out|closed|reset")):
                stranger = f"{scheme}://{address.removeprefix('tls://')}"
                with pytest.raises((OSError, TypeError), match=message):
                    Client(stranger, timeout=1, set_as_default=False)


@pytest.mark.fault("a web page of another host asks the dashboard", promised="it is refused")
def test_the_dashboard_of_a_local_cluster_answers_no_page_of_another_host():
    with Local().open(sized(1, GIB)) as opened:
        opened.client.register_plugin(RunMonitor())
        link = opened.client.dashboard_link
        for page in ("status", "tracin"):
            socket = urlsplit(link)._replace(scheme="ws", path=f"/{page}/ws").geturl()
            answers = [answer_to(socket, origin) for origin in (link, "http://localhost:1234", "http://example.com")]
            assert answers == [101, 101, 403], page


def answer_to(socket: str, origin: str) -> int:
    """Ask for the live figures of a page as a browser does that shows a page of some origin."""
    target = urlsplit(socket)
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Origin": origin,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Protocol": f"bokeh, {generate_jwt_token(generate_session_id())}",
    }
    with closing(HTTPConnection(target.netloc, timeout=10)) as connection:
        connection.request("GET", target.path, headers=headers)
        return connection.getresponse().status


def test_two_local_clusters_at_once_have_separate_dashboards(opened):
    (first, second), still_there = opened
    assert (first["sum"], second["sum"], still_there) == (6, 6, 3)
    assert first["dashboard"] != second["dashboard"]


def test_a_closed_local_cluster_leaves_no_process(opened):
    pids = [pid for facts in opened[0] for pid in facts["pids"]]
    assert len(pids) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_local_workers_preload_modules_while_they_start():
    with Local().open(replace(sized(1, GIB), preload=("colorsys",))) as opened:
        assert list(opened.client.run(is_imported, "colorsys").values()) == [True]


def is_imported(module: str) -> bool:
    return module in sys.modules


def test_other_computations_of_the_process_do_not_go_to_the_workers():
    with Local().open(sized(1, GIB)), pytest.raises(ValueError, match="No clients found"):
        default_client()


@pytest.mark.fault("workers take long to start", promised="a message; the run waits")
def test_a_run_that_waits_long_for_its_workers_says_so(caplog):
    start = replace(sized(1, GIB), patience=Patience(tell_seconds=0.01))
    with Local().open(start):
        pass
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["--cluster local: not all workers have started yet; the run waits for them"]


@pytest.mark.fault("workers take long to end", promised="a warning; what is done is safe")
def test_workers_that_take_long_to_end_do_not_fail_what_is_done(monkeypatch, caplog):
    def never(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(LocalCluster, "close", never)
    with Local().open(sized(1, GIB)) as opened:
        pids = opened.client.run(os.getpid).values()
        found = opened.client.submit(sum, [1, 2]).result()
    monkeypatch.undo()
    assert found == 3
    assert [record.message for record in caplog.records if record.name == started.__name__] == [
        "the workers did not end in time and were killed (TimeoutError)"
    ]
    assert all(wait_until(lambda pid=pid: not psutil.pid_exists(pid)) for pid in pids)


class TestExpectedWorkers:
    MACHINE = Machine(num_cpus=4, memory_bytes=16 * GIB)

    def sizes(self, cluster, **asked):
        expected = cluster.expected_resources(WorkerOptions(**asked), self.MACHINE)
        return [(one.num_workers, one.threads_per_worker, one.memory_bytes) for one in expected]

    def test_local_expects_one_worker_per_cpu_or_fewer_with_more_memory(self):
        share = 0.8 * 16 * GIB
        assert self.sizes(Local()) == [(n, 4 // n, int(share / n)) for n in (4, 3, 2, 1)]

    def test_local_expects_at_most_eight_workers(self):
        many = Machine(num_cpus=64, memory_bytes=64 * GIB)
        assert Local().expected_resources(WorkerOptions(), many)[0].num_workers == 8

    def test_local_expects_exactly_a_stated_number_of_workers(self):
        assert [size[0] for size in self.sizes(Local(workers=2))] == [2]
        assert [size[0] for size in self.sizes(Local(workers=12))] == [12]

    def test_worker_options_take_precedence_over_local_settings(self):
        settings = Local(workers=2, threads_per_worker=1, memory_per_worker=GIB)
        assert self.sizes(settings) == [(2, 1, GIB)]
        assert self.sizes(settings, workers=1, threads_per_worker=3, memory_per_worker=2 * GIB) == [(1, 3, 2 * GIB)]


def test_closing_that_is_interrupted_leaves_no_process_and_is_not_tried_again(monkeypatch):
    opened = []

    class Interrupted(LocalCluster):
        def close(self, timeout=None):  # noqa: ARG002 - Dask's signature
            opened.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(local, "LocalCluster", Interrupted)
    pids = []
    with pytest.raises(KeyboardInterrupt), Local().open(sized(1, GIB)) as found:
        pids += found.client.run(os.getpid).values()
    assert len(pids) == 1
    assert not any(map(psutil.pid_exists, pids))
    (cluster,) = opened
    assert cluster.shutdown_on_close is False  # Dask would wait for it when Python exits


def fail_at_a_heartbeat(error: Exception) -> None:
    try:
        raise error
    except type(error):
        logging.getLogger("distributed.worker").exception("Failed to communicate with scheduler during heartbeat.")


def test_a_worker_that_ends_during_a_heartbeat_prints_no_traceback(capfd):
    with Local().open(sized(1, GIB)) as cluster:
        cluster.client.run(fail_at_a_heartbeat, CommClosedError("ConnectionPool closing."))
        cluster.client.run(fail_at_a_heartbeat, PermissionError("anything else"))
    printed = capfd.readouterr().err
    assert "PermissionError: anything else" in printed
    assert "ConnectionPool closing" not in printed
