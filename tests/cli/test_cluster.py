"""`tracin-dask cluster`: specification files, and the clusters that they describe."""

import pytest

from tracin_dask.clusters.kinds import KINDS, find_kind
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.runs.check import WorkerCheck


@pytest.mark.parametrize("kind", KINDS)
def test_cluster_init_writes_a_file_that_show_and_run_accept(kind, tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = tool("cluster", "init", kind)
    assert written.exit_code == 0, written.output
    assert f"wrote {kind}.yaml: edit it" in written.output
    assert isinstance(parse_cluster(f"{kind}.yaml"), find_kind(kind))


def test_cluster_init_overwrites_no_file(tool, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("kind: local\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml exists already; --output writes another file"):
        tool("cluster", "init", "local", "--output", path)
    assert path.read_text() == "kind: local\n"


def test_cluster_show_prints_the_workers_that_would_start(tool, tmp_path):
    path = tmp_path / "gpus.yaml"
    path.write_text("kind: cuda\ndevices: [0, 1]\n")
    shown = tool("cluster", "show", path).output
    assert shown.startswith("dask_cuda.LocalCUDACluster(")
    assert "CUDA_VISIBLE_DEVICES='0,1'" in shown
    assert "this process" in tool("cluster", "show", "auto").output
    assert "tcp://10.0.0.1:8786" in tool("cluster", "show", "tcp://10.0.0.1:8786").output


def test_cluster_show_prints_the_script_of_a_slurm_job(tool, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("kind: slurm\njobs: 3\nwalltime: 01:00:00\nmemory_per_job: 4GiB\nqueue: long\n")
    shown = tool("cluster", "show", path).output
    assert shown.startswith("3 job(s), each with this script:")
    assert "#SBATCH -p long" in shown


# Tornado leaves a socket to the garbage collector where the dashboard's port is in use
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_cluster_check_tests_every_worker_and_fails_if_one_fails(tool, tmp_path, monkeypatch):
    path = tmp_path / "here.yaml"
    path.write_text("kind: local\nworkers: 1\nmemory_per_worker: 2GiB\ndashboard_address: 127.0.0.1:0\n")
    told = tool("cluster", "check", path).output
    assert "CPU, " in told
    assert "2.0 GiB; products" in told
    assert "1 worker(s) found the known influences" in told
    monkeypatch.setattr(WorkerCheck, "is_right", property(lambda _: False))
    with pytest.raises(ClusterError, match=r"1 of 1 worker\(s\) found other influences than the known ones"):
        tool("cluster", "check", path)
