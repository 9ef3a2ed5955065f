"""Local workers: their sizes, where they listen, and that nothing of them stays."""

import os
import sys
from dataclasses import replace

import psutil
import pytest
from distributed import LocalCluster, default_client

from tracin_dask.clusters import client
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.local import Local
from tracin_dask.resources import Machine, Resources, WorkerOptions

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""Tornado leaves a socket to the garbage collector where the dashboard's port is in use."""

GIB = 2**30


def listening(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections(kind="inet")
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


def sized(num_workers: int, memory_bytes: int) -> Start:
    return Start(resources=Resources(num_workers=num_workers, memory_bytes=memory_bytes))


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
        assert facts["scheduler"].startswith("tcp://127.0.0.1:")
        assert facts["dashboard"].startswith("http://127.0.0.1:")
        assert all(address.startswith("tcp://127.0.0.1:") for address in facts["workers"])
        assert facts["listening"] == {"127.0.0.1"}


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


def test_workers_that_take_long_to_end_do_not_fail_what_is_done(monkeypatch, caplog):
    close = LocalCluster.close

    def late(cluster: LocalCluster) -> None:
        close(cluster)
        raise TimeoutError

    monkeypatch.setattr(LocalCluster, "close", late)
    with Local().open(sized(1, GIB)) as opened:
        found = opened.client.submit(sum, [1, 2]).result()
    assert found == 3
    assert [record.message for record in caplog.records if record.name == client.__name__] == [
        "the workers took too long to end and were killed"
    ]


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
