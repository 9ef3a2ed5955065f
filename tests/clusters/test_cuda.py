"""Workers on the GPUs of this machine: their options, their expected number, and a clear error without a GPU."""

import pytest

from tracin_dask.clusters import cuda
from tracin_dask.clusters.cluster import Start
from tracin_dask.clusters.cuda import Cuda, cluster_options
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions

ALWAYS = {
    "threads_per_worker": 1,
    "device_memory_limit": "0.8",
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:8787",
}


def test_cuda_passes_only_stated_settings_to_dask_cuda():
    assert cluster_options(Cuda()) == ALWAYS
    stated = Cuda(
        devices=("1", "MIG-41b3"),
        memory_per_worker=2**30,
        rmm_pool_size="0.5",
        rmm_managed_memory=True,
        scratch="/fast",
    )
    assert cluster_options(stated) == ALWAYS | {
        "rmm_managed_memory": True,
        "CUDA_VISIBLE_DEVICES": "1,MIG-41b3",
        "memory_limit": 2**30,
        "rmm_pool_size": "0.5",
        "local_directory": "/fast",
    }


def test_a_machine_without_a_gpu_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(cuda.nvml, "device_get_count", lambda: 0)
    with (
        pytest.raises(ClusterError, match=r"sees no NVIDIA GPU .*; --cluster local uses the CPUs"),
        Cuda().open(Start()),
    ):
        pass


class TestExpectedWorkers:
    MACHINE = Machine(num_cpus=16, memory_bytes=128 * 2**30, num_gpus=4)

    def test_cuda_expects_one_worker_per_gpu_sharing_cpus_and_memory(self):
        expected = [Resources(num_workers=4, threads_per_worker=4, memory_bytes=32 * 2**30)]
        assert Cuda().expected_resources(WorkerOptions(), self.MACHINE) == expected

    def test_cuda_uses_chosen_devices_and_a_stated_memory(self):
        expected = [Resources(num_workers=1, threads_per_worker=2, memory_bytes=2**30)]
        asked = WorkerOptions(threads_per_worker=2)
        assert Cuda(devices=("3",), memory_per_worker=2**30).expected_resources(asked, self.MACHINE) == expected

    def test_cuda_refuses_a_number_of_workers(self):
        with pytest.raises(ConfigError, match=r"2 worker\(s\) are asked for, but this machine's GPUs states its own"):
            Cuda().expected_resources(WorkerOptions(workers=2), self.MACHINE)

    def test_a_machine_without_a_gpu_is_a_clear_error(self):
        with pytest.raises(ClusterError, match="sees no NVIDIA GPU"):
            Cuda().expected_resources(WorkerOptions(), Machine(num_cpus=2, memory_bytes=2**30))
