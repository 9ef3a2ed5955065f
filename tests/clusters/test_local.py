"""Local workers: their sizes, where they listen, and that nothing of them stays."""

import os
import sys

import psutil
import pytest

from tracin_dask.clusters.open import LocalSizes, open_cluster
from tracin_dask.clusters.spec import parse_spec

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""Tornado leaves a socket to the garbage collector where the dashboard's port is in use."""

GIB = 2**30


def listening(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections(kind="inet")
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def opened():
    """What two clusters, one opened while the other runs, say of themselves; both are closed."""
    facts = []
    with open_cluster(parse_spec("local"), LocalSizes(num_workers=2, memory_bytes=GIB)) as client:
        with open_cluster(parse_spec("auto"), LocalSizes(num_workers=1, memory_bytes=GIB // 2)) as second:
            for one in (client, second):
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
        still_there = client.submit(sum, [1, 2]).result()
    return facts, still_there


def test_workers_have_one_thread_and_the_stated_memory(opened):
    (first, second), _ = opened
    sizes = [[(w["nthreads"], w["memory_limit"]) for w in facts["workers"].values()] for facts in (first, second)]
    assert sizes == [[(1, GIB)] * 2, [(1, GIB // 2)]]


def test_everything_listens_on_the_loopback_interface_only(opened):
    for facts in opened[0]:
        assert facts["scheduler"].startswith("tcp://127.0.0.1:")
        assert facts["dashboard"].startswith("http://127.0.0.1:")
        assert all(address.startswith("tcp://127.0.0.1:") for address in facts["workers"])
        assert facts["listening"] == {"127.0.0.1"}


def test_a_second_cluster_works_beside_the_first_with_a_dashboard_of_its_own(opened):
    (first, second), still_there = opened
    assert (first["sum"], second["sum"], still_there) == (6, 6, 3)
    assert first["dashboard"] != second["dashboard"]


def test_no_worker_process_stays(opened):
    pids = [pid for facts in opened[0] for pid in facts["pids"]]
    assert len(pids) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_modules_are_imported_while_workers_start():
    with open_cluster(parse_spec("local"), LocalSizes(num_workers=1, memory_bytes=GIB), preload=["colorsys"]) as client:
        assert list(client.run(is_imported, "colorsys").values()) == [True]


def is_imported(module: str) -> bool:
    return module in sys.modules
