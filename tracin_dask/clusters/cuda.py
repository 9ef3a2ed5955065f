"""Worker processes on this machine's GPUs, one per device. CUDA stays untouched in the calling process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from distributed import Client
from distributed.diagnostics import nvml

from tracin_dask.clusters.local import LOOPBACK
from tracin_dask.clusters.spec import NO_GPU, CudaSpec
from tracin_dask.errors import ClusterError

START_SECONDS = 120
"""How long workers may take to start."""


def cluster_options(spec: CudaSpec, preload: Sequence[str] = ()) -> dict[str, Any]:
    """Give the arguments of `dask_cuda.LocalCUDACluster`."""
    options: dict[str, Any] = {
        "threads_per_worker": 1,
        "device_memory_limit": spec.device_memory_limit,
        "host": LOOPBACK,
        "dashboard_address": spec.dashboard_address,
    }
    stated = {
        "CUDA_VISIBLE_DEVICES": ",".join(spec.devices),
        "memory_limit": spec.memory_per_worker,
        "rmm_pool_size": spec.rmm_pool_size,
        "rmm_managed_memory": spec.rmm_managed_memory,
        "local_directory": spec.scratch,
        "pre_import": ",".join(preload),
    }
    return options | {name: value for name, value in stated.items() if value}


@contextmanager
def cuda_cluster(spec: CudaSpec, *, preload: Sequence[str] = ()) -> Iterator[Client]:
    """Start one worker per device, and stop them at the end.

    Raises
    ------
    ClusterError
        If there is no GPU, dask-cuda is not installed, or the workers do not start.
    """
    if nvml.device_get_count() == 0:
        raise ClusterError(NO_GPU)
    try:
        from dask_cuda import LocalCUDACluster  # noqa: PLC0415 - only where there are GPUs
    except ImportError as error:
        raise ClusterError(
            f"--cluster cuda needs dask-cuda ({error}); install it with `pip install 'tracin-dask[cuda]'`"
        ) from error
    try:
        cluster = LocalCUDACluster(**cluster_options(spec, preload))
    except (ValueError, RuntimeError, OSError) as error:
        raise ClusterError(f"--cluster cuda: the workers did not start: {error}") from error
    with cluster, Client(cluster) as client:
        num_devices = len(cluster.worker_spec)
        try:
            client.wait_for_workers(num_devices, timeout=START_SECONDS)
        except TimeoutError as error:
            raise ClusterError(
                f"--cluster cuda: of {num_devices} workers {error} s; their messages above say why"
            ) from error
        yield client
