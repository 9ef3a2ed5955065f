"""`tracin_dask.run` in this process, on the workers of a client, and on every kind of cluster: always the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from doubles.build import nvml_environment

import tracin_dask
from tracin_dask import Execution, RunConfig, WorkerOptions, run
from tracin_dask.clusters.local import Local
from tracin_dask.errors import ConfigError
from tracin_dask.launch import place
from tracin_dask.resources import Resources

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""Tornado leaves a socket to the garbage collector where the dashboard's port is in use."""

CONFIG = RunConfig.of(top_k=20, batch_size=64, device="cpu")
ONE_THREAD = Execution(workers=WorkerOptions(threads_per_worker=1))


@pytest.fixture(scope="module")
def explain(graph, checkpoint):
    def explained(*, execution=ONE_THREAD, **where):
        return run(graph.store, checkpoint, graph.test_triples, config=CONFIG, execution=execution, **where)

    return explained


@pytest.fixture(scope="module")
def here(explain):
    return explain()


@pytest.fixture(scope="module")
def cluster():
    """A cluster of one worker that somebody else started."""
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as one:
        yield one


def same(first, second):
    pairs = zip(first.rankings, second.rankings, strict=True)
    return all(
        np.array_equal(one.train_index, other.train_index) and np.array_equal(one.influence, other.influence)
        for one, other in pairs
    )


def test_without_a_cluster_a_run_stays_in_this_process(here):
    assert (here.run["workers"], here.run["threads_per_worker"]) == (1, 1)


def test_auto_keeps_a_small_job_in_this_process(explain, here, monkeypatch):
    def fail(*_):
        raise AssertionError("no workers are needed")

    monkeypatch.setattr(Local, "open", fail)
    assert same(explain(cluster="auto"), here)


def test_auto_gives_a_large_job_local_workers(explain, here, monkeypatch):
    monkeypatch.setattr(place, "SMALL_JOB_SECONDS", 0.0)
    workers = WorkerOptions(threads_per_worker=1, memory_per_worker=2**30)
    found = explain(cluster="auto", execution=Execution(workers=workers))
    assert same(found, here)
    assert found.run["workers"] == min(8, os.cpu_count())


def test_run_on_local_workers_gives_the_same_bits(explain, here):
    workers = WorkerOptions(workers=2, threads_per_worker=1, memory_per_worker=2**30)
    found = explain(cluster="local", execution=Execution(workers=workers))
    assert same(found, here)
    assert (found.run["workers"], found.run["threads_per_worker"]) == (2, 1)


def test_a_result_is_returned_although_its_cluster_cannot_be_closed(explain, here, monkeypatch, caplog):
    def never(*_: object, **__: object) -> None:
        raise TimeoutError("a worker does not end")

    with monkeypatch.context() as patch:
        patch.setattr(LocalCluster, "close", never)
        found = explain(cluster=Local(workers=1, dashboard_address="127.0.0.1:0"))
    assert same(found, here)
    assert "the workers did not end in time and were killed (a worker does not end)" in caplog.messages


@pytest.mark.parametrize("as_text", [str, Path])
def test_run_with_a_specification_file_gives_the_same_bits(explain, here, tmp_path, as_text):
    path = tmp_path / "local.yaml"
    path.write_text("kind: local\nworkers: 1\nthreads_per_worker: 1\ndashboard_address: 127.0.0.1:0\n")
    found = explain(cluster=as_text(path))
    assert same(found, here)
    assert found.run["workers"] == 1


def test_a_cluster_may_be_given_as_a_value(explain, here):
    found = explain(cluster=Local(workers=1, dashboard_address="127.0.0.1:0"))
    assert same(found, here)


def test_a_cluster_that_runs_already_is_found_by_its_address_and_left_running(explain, here, cluster):
    assert same(explain(cluster=cluster.scheduler_address), here)
    with Client(cluster) as client:
        assert same(explain(client=client), here)


def test_run_on_gpus_gives_the_same_bits(graph, here, tmp_path, tmp_path_factory):
    script = tmp_path / "explain.py"
    script.write_text(ON_GPUS)
    environment = os.environ | nvml_environment(tmp_path_factory)
    words = [graph.store.path, graph.folder / "best_model.pt", json.dumps(graph.test_triples.tolist())]
    told = subprocess.run(
        [sys.executable, script, *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["workers"] == 2
    assert found["influences"] == [ranking.influence.tolist() for ranking in here.rankings]


ON_GPUS = """
import json, sys
import tracin_dask

if __name__ == "__main__":
    store, model, tests = sys.argv[1:]
    result = tracin_dask.run(
        tracin_dask.open_store(store),
        tracin_dask.load_checkpoint(model),
        json.loads(tests),
        config=tracin_dask.RunConfig.of(top_k=20, batch_size=64),
        cluster="cuda",
        execution=tracin_dask.Execution(workers=tracin_dask.WorkerOptions(threads_per_worker=1)),
    )
    influences = [ranking.influence.tolist() for ranking in result.rankings]
    print(json.dumps({"workers": result.run["workers"], "influences": influences}))
"""


class TestRefused:
    def test_run_refuses_client_and_cluster_together(self, explain, cluster):
        with (
            Client(cluster) as client,
            pytest.raises(ConfigError, match="cluster and client both say where to run; give only one of them"),
        ):
            explain(cluster="local", client=client)

    def test_run_refuses_resources_for_a_started_cluster(self, explain):
        execution = Execution(resources=Resources(memory_bytes=2**30))
        with pytest.raises(ConfigError, match=r"both state workers; give Execution\.workers=WorkerOptions\(\.\.\.\)"):
            explain(cluster="local", execution=execution)

    def test_run_refuses_a_number_of_workers_without_a_cluster(self, explain):
        with pytest.raises(ConfigError, match="this run starts none; give a cluster"):
            explain(execution=Execution(workers=WorkerOptions(workers=2)))

    def test_run_refuses_an_unknown_cluster(self, explain):
        with pytest.raises(ConfigError, match="unknown cluster 'nonsense'"):
            explain(cluster="nonsense")


def test_tracin_dask_run_is_the_run_of_launch():
    assert tracin_dask.run is run


def test_a_run_in_this_process_is_planned_with_the_memory_of_its_gpu(graph, checkpoint, monkeypatch):
    monkeypatch.setattr("tracin_dask.launch.run.gpu_count", lambda: 1)
    monkeypatch.setattr("tracin_dask.resources.own_gpu", lambda: ("GPU-1", 8 * 2**30))
    sizes = [
        run(graph.store, checkpoint, graph.test_triples, config=RunConfig.of(device=device)).run["batch_size"]
        for device in ("auto", "cpu")
    ]
    assert sizes[0] > sizes[1]
