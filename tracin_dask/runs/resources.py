"""How many workers of which size there are: of a Dask client, or this process alone."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dask.system import CPU_COUNT

from tracin_dask.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

MEMORY_SHARE = 0.8
"""Part of the machine's memory that a run plans with when no limit is stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where a run happens; the planner fits the work into it."""

    num_workers: int = 1
    threads_per_worker: int = 1
    memory_bytes: int
    """Memory of one worker process."""


def of_this_process() -> Resources:
    """Count the CPUs and the memory that this process may use (a container's limits count)."""
    return Resources(threads_per_worker=CPU_COUNT, memory_bytes=int(MEMORY_SHARE * memory_limit()))


def of_client(client: "Client") -> Resources:
    """Ask a client's workers; CPUs are shared evenly by the workers of a host.

    Raises
    ------
    ClusterError
        If there is no worker.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise ClusterError("the cluster has no workers; start some and try again")
    per_host = Counter(worker["host"] for worker in workers.values())
    cpus = client.run(cpu_count)
    limits = [worker["memory_limit"] or memory_limit() for worker in workers.values()]
    return Resources(
        num_workers=len(workers),
        threads_per_worker=max(1, min(cpus[address] // per_host[w["host"]] for address, w in workers.items())),
        memory_bytes=int(min(limits)),
    )


def cpu_count() -> int:
    """Count the CPUs that the calling process may use."""
    return int(CPU_COUNT)


def memory_limit() -> int:
    """Give the bytes of memory that this process may use."""
    from distributed.system import MEMORY_LIMIT  # noqa: PLC0415 - distributed is slow to import

    return int(MEMORY_LIMIT)


def has_gpu() -> bool:
    """Tell whether there is an NVIDIA GPU, by its driver's library: CUDA itself stays untouched in this process."""
    from distributed.diagnostics import nvml  # noqa: PLC0415 - distributed is slow to import

    return bool(nvml.device_get_count() > 0)
