"""What a specification of this machine's GPUs becomes, and what is said where there are none."""

import pytest

from tracin_dask.clusters import cuda
from tracin_dask.clusters.cuda import cluster_options, cuda_cluster
from tracin_dask.clusters.spec import CudaSpec
from tracin_dask.errors import ClusterError

ALWAYS = {
    "threads_per_worker": 1,
    "device_memory_limit": "0.8",
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:8787",
}


def test_what_is_stated_is_passed_on_and_the_rest_is_left_to_dask_cuda():
    assert cluster_options(CudaSpec()) == ALWAYS
    stated = CudaSpec(
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
        pytest.raises(ClusterError, match=r"sees no NVIDIA GPU .*; --cluster local takes the CPUs"),
        cuda_cluster(CudaSpec()),
    ):
        pass
