"""A whole run as one Slurm job: the script's text, and the command line of each of its processes."""

import shlex
from pathlib import Path

import pytest
import yaml

from tracin_dask.cli.allocation import running
from tracin_dask.clusters import allocation
from tracin_dask.clusters.address import Address
from tracin_dask.clusters.allocation import batch_script, read_site, runner_options
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.clusters.slurm import Slurm
from tracin_dask.errors import ClusterError, ConfigError

GIB = 2**30
CPUS = Slurm(jobs=3, walltime="04:00:00", memory_per_job=64 * GIB, cpus_per_job=8, workers_per_job=4, account="mine")
GPUS = Slurm(
    jobs=2,
    walltime="1-00:00:00",
    memory_per_job=64 * GIB,
    cpus_per_job=8,
    gpus_per_job=4,
    queue="gpu",
    interface="ib0",
    python="/site/python",
    setup=("module load cuda",),
    directives=("--constraint=a100",),
    scratch="/local",
)
WORDS = ["--test", "my triples.txt", "--output-dir", "why"]


def test_the_submitted_script_has_the_nodes_and_the_options_of_the_run():
    lines = batch_script(GPUS, Path("/home/me/site.yaml"), WORDS).splitlines()
    assert lines[0] == "#!/bin/bash"
    directives = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")}
    assert directives >= {"--nodes=2", "--cpus-per-task=8", "--mem=65536M", "--time=1-00:00:00", "--gres=gpu:4"}
    assert directives >= {"--partition=gpu", "--constraint=a100", "--output=tracin-dask-logs/run-%j.log"}
    assert not any(line.startswith("--account") for line in directives)
    assert lines.index("module load cuda") < len(lines) - 1
    words = shlex.split(lines[-1])
    assert words[:2] == ["exec", "srun"]
    assert words[words.index("/site/python") :] == [
        *("/site/python", "-m", "tracin_dask.cli.allocation", "/home/me/site.yaml"),
        *WORDS,
    ]


def test_a_submitted_job_has_a_scheduler_a_client_and_workers_on_every_node():
    assert "--ntasks=14 " in batch_script(CPUS, Path("site.yaml"), [])
    assert "--ntasks=4 " in batch_script(GPUS, Path("site.yaml"), [])  # dask-cuda starts a worker per GPU of a node


def test_workers_of_a_submitted_job_share_the_memory_of_their_node():
    options = runner_options(CPUS, ["a.module"])
    assert options["worker_class"] == "distributed.Nanny"
    assert options["worker_options"] == {
        "memory_limit": int(0.8 * 16 * GIB),
        "nthreads": 1,
        "preload": ["a.module"],
    }
    options = runner_options(GPUS, ["a.module"])
    assert options["worker_class"] == "dask_cuda.CUDAWorker"
    assert options["worker_options"] == {
        "interface": "ib0",
        "memory_limit": int(0.8 * 16 * GIB),
        "local_directory": "/local",
        "device_memory_limit": "0.8",
        "pre_import": "a.module",
    }
    assert options["scheduler_options"] == {"interface": "ib0", "dashboard_address": ":8787"}


def test_the_client_of_a_submitted_job_waits_for_all_workers(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(running(GPUS, "tcp://10.0.0.1:8786")))
    spec = parse_cluster(str(path))
    assert spec == Address(address="tcp://10.0.0.1:8786", workers=8, wait_minutes=5)


def test_a_job_that_slurm_refuses_is_reported_with_its_message(tmp_path, monkeypatch):
    command = tmp_path / "sbatch"
    command.write_text("#!/bin/sh\necho 'invalid account' >&2\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ClusterError, match=r"Slurm refuses the job: invalid account \(script: job\.sh\)"):
        allocation.submit(Path("job.sh"))
    command.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch cannot be called"):
        allocation.submit(Path("job.sh"))


def test_a_run_in_one_job_refuses_certificates(tmp_path):
    path = tmp_path / "site.yaml"
    site = {"kind": "slurm", "jobs": 1, "walltime": "01:00:00", "memory_per_job": "1GiB"}
    path.write_text(yaml.safe_dump(site | {"tls_ca_file": "/a", "tls_cert": "/b", "tls_key": "/c"}))
    with pytest.raises(
        ConfigError, match=r"site\.yaml: tls_cert: a run in one job has no certificates; leave them out"
    ):
        read_site(path)
