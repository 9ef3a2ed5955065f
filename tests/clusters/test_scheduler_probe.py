"""Addresses where no scheduler answers: a dashboard, a worker, other programs, nobody; each in bounded time."""

import socket
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from distributed import LocalCluster

from tracin_dask.clusters import attached, scheduler_probe
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.clusters.scheduler_probe import refuse_no_scheduler
from tracin_dask.errors import ClusterError, ConfigError

SECONDS = 1.0


@pytest.fixture(autouse=True)
def _short_look(monkeypatch):
    monkeypatch.setattr(scheduler_probe, "LOOK_SECONDS", 1.0)


@contextmanager
def answering(answer):
    """Give the address of a program that answers every connection with some bytes, and then keeps it open."""
    kept = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in kept:
        connection.close()


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as one:
        yield one


@contextmanager
def within(seconds):
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_a_scheduler_is_recognised(cluster):
    refuse_no_scheduler(cluster.scheduler_address, SECONDS)


def test_the_address_of_the_dashboard_is_refused_with_the_remedy(cluster):
    address = f"tcp://127.0.0.1:{urlsplit(cluster.dashboard_link).port}"
    with (
        within(SECONDS + 5),
        pytest.raises(ClusterError, match=rf"a web server answers at {address}, .* usually with port 8786"),
    ):
        refuse_no_scheduler(address, SECONDS)


def test_the_link_of_the_dashboard_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"the address of a web page, such as Dask's dashboard; give the scheduler's"):
        parse_cluster("http://10.0.0.1:8787/status")


def test_the_address_of_a_worker_is_refused(cluster):
    (worker,) = cluster.workers.values()
    with pytest.raises(ClusterError, match=f"a worker of a cluster answers at {worker.address}, not a scheduler"):
        refuse_no_scheduler(worker.address, SECONDS)


@pytest.mark.parametrize(
    ("answer", "told"), [(b"", "no answer within 1 s"), (b"SSH-2.0-OpenSSH_9.2p1\r\n", "an answer in another protocol")]
)
def test_another_program_is_refused(answer, told):
    with (
        answering(answer) as address,
        within(SECONDS + 7),
        pytest.raises(ClusterError, match=rf"does not answer as a Dask scheduler \({told}\); check the address"),
    ):
        refuse_no_scheduler(address, SECONDS)


def test_a_port_where_nobody_listens_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    with pytest.raises(ClusterError, match=rf"no scheduler answers at tcp://127\.0\.0\.1:{port} .*Connection refused"):
        refuse_no_scheduler(f"tcp://127.0.0.1:{port}", SECONDS)


def test_a_host_that_drops_packets_is_refused_in_time():
    """A listener whose queue is full takes no further connection, and refuses none."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with (
            within(SECONDS + 8),
            pytest.raises(ClusterError, match=rf"no scheduler answers at tcp://127\.0\.0\.1:{port} .*timed out"),
        ):
            refuse_no_scheduler(f"tcp://127.0.0.1:{port}", SECONDS)
        for one in waiting:
            one.close()


@pytest.mark.parametrize("address", ["tcp://10.0.0.1", "tcp://10.0.0.1:123456", "tcp://:8786"])
def test_an_address_without_host_and_port_is_refused(address):
    with pytest.raises(ConfigError, match="has no host with a port; expected the address of a scheduler"):
        refuse_no_scheduler(address, SECONDS)


def test_the_waiting_times_for_an_address_add_up_to_less_than_half_a_minute():
    looks = 2 * 3.0  # to connect, and for an answer
    assert attached.TIMEOUT_SECONDS + max(looks, attached.TIMEOUT_SECONDS) < 30
