"""Worker processes on the GPUs of this machine, one per device. CUDA stays untouched in the calling process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from distributed import Client
from distributed.diagnostics import nvml

from tracin_dask.clusters import settings
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.started import started
from tracin_dask.clusters.this_machine import LOOPBACK, of_this_machine
from tracin_dask.errors import ClusterError
from tracin_dask.resources import Machine, Resources, WorkerOptions, of_client

NO_GPU = "--cluster cuda: the driver sees no NVIDIA GPU (`nvidia-smi` lists them); --cluster local uses the CPUs"
START_SECONDS = 120
"""How long workers may take to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuda:
    """Worker processes on the GPUs of this machine, one per device."""

    title: ClassVar[str] = "this machine's GPUs"

    devices: tuple[str, ...] = setting(settings.texts, ())
    """Indices or UUIDs of GPUs or MIG slices; all visible ones if not stated."""
    device_memory_limit: str = setting(settings.device_memory, "0.8")
    """Memory of a device that a run may use: a part of it, or a size."""
    memory_per_worker: int | None = setting(settings.size, None)
    """Host memory."""
    rmm_pool_size: str | None = setting(settings.device_memory, None)
    """Device memory that RMM takes at the start, if it is installed."""
    rmm_managed_memory: bool = setting(settings.yes_or_no, default=False)
    """Let RMM use memory that the driver moves between host and device."""
    dashboard_address: str = setting(settings.text, "127.0.0.1:8787")
    scratch: str | None = setting(settings.text, None)

    def describe(self) -> str:
        """Say what would be started."""
        return _call("dask_cuda.LocalCUDACluster", cluster_options(self))

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:
        """Give one worker per device, which share the CPUs and the host memory of this machine.

        Raises
        ------
        ClusterError
            If there is no GPU.
        """
        asked.refuse_number(self.title)
        num_workers = len(self.devices) or machine.num_gpus
        if num_workers == 0:
            raise ClusterError(NO_GPU)
        resources = Resources(
            num_workers=num_workers,
            threads_per_worker=max(1, machine.num_cpus // num_workers),
            memory_bytes=self.memory_per_worker or machine.memory_bytes // num_workers,
        )
        return [asked.applied_to(resources)]

    @contextmanager
    def open(self, start: Start) -> Iterator[OpenCluster]:
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
        options = cluster_options(self, start.preload)
        with (
            of_this_machine() as common,
            started(LocalCUDACluster, common | options, title="--cluster cuda", patience=start.patience) as found,
        ):
            cluster, client = found
            _wait_for_workers(client, len(cluster.worker_spec))
            resources = of_client(client, self.device_memory_limit)
            yield OpenCluster(client=client, resources=resources, workers_return=False)


def cluster_options(cluster: Cuda, preload: Sequence[str] = ()) -> dict[str, Any]:
    """Give the arguments of `dask_cuda.LocalCUDACluster`."""
    options: dict[str, Any] = {
        "threads_per_worker": 1,
        "device_memory_limit": cluster.device_memory_limit,
        "host": LOOPBACK,
        "dashboard_address": cluster.dashboard_address,
    }
    stated = {
        "CUDA_VISIBLE_DEVICES": ",".join(cluster.devices),
        "memory_limit": cluster.memory_per_worker,
        "rmm_pool_size": cluster.rmm_pool_size,
        "rmm_managed_memory": cluster.rmm_managed_memory,
        "local_directory": cluster.scratch,
        "pre_import": ",".join(preload),
    }
    return options | {name: value for name, value in stated.items() if value}


def _wait_for_workers(client: Client, num_devices: int) -> None:
    try:
        client.wait_for_workers(num_devices, timeout=START_SECONDS)
    except TimeoutError as error:
        raise ClusterError(f"--cluster cuda: {error} s; the messages of the workers above say why") from error


def _call(name: str, options: Mapping[str, object]) -> str:
    lines = [f"    {key}={value!r}," for key, value in sorted(options.items())]
    return "\n".join([f"{name}(", *lines, ")"])
