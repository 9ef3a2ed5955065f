"""Workers with other versions, or without a package: one line that names the host and the remedy, before any work."""

import os
import subprocess
import sys

import pytest
from distributed import LocalCluster

from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ClusterError
from tracin_dask.versions import PACKAGES, differences, remedy

WITHOUT_TORCH = """
import importlib.metadata as metadata

found = metadata.version


def version(name):
    if name == "torch":
        raise metadata.PackageNotFoundError(name)
    return found(name)


metadata.version = version
"""
HERE = {"Python": "3.11"} | dict.fromkeys(PACKAGES, "1.0")


@pytest.fixture(params=["zarr", "dask"])
def other(request, tmp_path):
    """The name of a package, and a folder with another version of it."""
    about = tmp_path / f"{request.param}-1.2.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {request.param}\nVersion: 1.2.3\n")
    return request.param, tmp_path


@pytest.fixture
def no_torch(tmp_path):
    """A folder whose start of Python hides torch, as if it was not installed."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TORCH)
    return tmp_path


def open_with(folder):
    """Connect to a cluster with one worker that sees a folder of packages before all others."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    with LocalCluster(
        n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        environment = os.environ | {"PYTHONPATH": str(folder)}
        words = [*command, "--host", "127.0.0.1", cluster.scheduler_address]
        worker = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
        try:
            with parse_cluster(cluster.scheduler_address).open(Start()) as opened:
                return opened.resources.num_workers
        finally:
            worker.terminate()
            worker.wait()


def test_a_worker_with_another_version_is_named_with_the_remedy(other):
    name, folder = other
    with pytest.raises(
        ClusterError,
        match=rf"the worker at tcp://127\.0\.0\.1:\d+ has {name} 1\.2\.3 instead of \S+; on 127\.0\.0\.1, in an "
        r"environment with Python 3\.\d+: `pip install tracin-dask==.* zarr==",
    ):
        open_with(folder)


def test_a_worker_without_a_package_is_named_with_the_remedy(no_torch):
    with pytest.raises(ClusterError, match=r"the worker at tcp://\S+ has no torch; on 127\.0\.0\.1, in an"):
        open_with(no_torch)


def test_a_worker_with_the_versions_of_this_process_is_taken(tmp_path):
    assert open_with(tmp_path) == 1


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({}, ""),
        ({"torch": "1.0+cu130"}, ""),
        ({"Python": "3.12"}, "Python 3.12 instead of 3.11"),
        ({"dask": "1.1", "zarr": None}, "dask 1.1 instead of 1.0, no zarr"),
    ],
)
def test_differences_of_versions_are_named(there, told):
    assert differences(HERE, HERE | there) == told


def test_a_package_without_a_version_here_is_not_compared():
    assert differences(HERE | {"tracin-dask": None}, HERE) == ""


def test_the_remedy_pins_releases_without_their_builds():
    assert "torch==2.0 dask==1.0" in remedy("node1", HERE | {"torch": "2.0+cpu"})
