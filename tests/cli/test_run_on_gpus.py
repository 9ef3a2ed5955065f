"""`--cluster cuda` on a machine without GPUs: a double of NVIDIA's management library shows two GPUs.

Workers start with the GPUs and sizes of real ones, but compute on the CPU.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from doubles.build import nvml_environment

GIB = 2**30


@pytest.fixture(scope="module")
def two_gpus(tmp_path_factory):
    """Return the environment of a machine that appears to have two GPUs of 16 GiB."""
    return os.environ | nvml_environment(tmp_path_factory)


@pytest.fixture
def run(project, tmp_path, two_gpus):
    """Run on the project's test triple; return the JSON and the finished process."""

    def explain(cluster, *words, **environment):
        output = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        command = [sys.executable, "-m", "tracin_dask", "run", *project.options(), "--test-triple", *project.test_ids]
        words = [*command, "--cluster", cluster, "--batch-size", "64", "--output", output, *words]
        told = subprocess.run(
            [str(word) for word in words],
            env=two_gpus | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return (json.loads(output.read_text()) if output.exists() else None), told

    return explain


def test_two_gpus_start_two_workers_and_give_the_results_of_local_workers(run):
    on_gpus, told = run("cuda", "--threads-per-worker", 1)
    assert told.returncode == 0, told.stderr
    assert "running in 2 workers × 1 thread on this machine's GPUs" in told.stderr
    here, told = run("local", "--workers", 2, "--threads-per-worker", 1)
    assert told.returncode == 0, told.stderr
    assert on_gpus["influences"] == here["influences"]
    assert on_gpus["run"]["workers"] == 2


def test_each_worker_gets_its_own_gpu_and_the_stated_fraction_of_its_memory(two_gpus):
    folders = [str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = two_gpus | {"PYTHONPATH": os.pathsep.join(folders)}
    found = json.loads(subprocess.check_output([sys.executable, __file__], env=environment, text=True, timeout=120))
    assert sorted(found["first"]) == ["0", "1"]
    assert found["device_bytes"] == 8 * GIB


def test_one_of_two_gpus_can_be_chosen(run, tmp_path):
    (tmp_path / "one.yaml").write_text("kind: cuda\ndevices: [1]\nmemory_per_worker: 2GiB\n")
    result, told = run(tmp_path / "one.yaml")
    assert told.returncode == 0, told.stderr
    assert result["run"]["workers"] == 1


def test_a_run_that_does_not_fit_into_a_gpu_is_refused_with_both_numbers(run):
    result, told = run("cuda", "--batch-size", 5000, NVML_DOUBLE_MEMORY=str(2**20))
    assert result is None
    assert told.returncode == 1
    assert "MiB of each GPU with batches of 5000, but may take 1 MiB" in told.stderr


def test_cluster_cuda_without_a_gpu_is_refused(run):
    _, told = run("cuda", NVML_DOUBLE_DEVICES="0")
    assert told.returncode == 1
    assert "Error: --cluster cuda: the driver sees no NVIDIA GPU" in told.stderr


def first_device() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"].split(",")[0]


def main() -> None:
    from tracin_dask.clusters.cluster import Start  # noqa: PLC0415 - only in the process of its own
    from tracin_dask.clusters.cuda import Cuda  # noqa: PLC0415 - only in the process of its own

    gpus = Cuda(device_memory_limit="8GiB", memory_per_worker=2 * GIB, dashboard_address="127.0.0.1:0")
    with gpus.open(Start()) as opened:
        first = list(opened.client.run(first_device).values())
        found = {"first": first, "device_bytes": opened.resources.device_bytes}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
