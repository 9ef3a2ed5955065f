"""How many workers of which size a run has: those of a Dask client, or this process alone."""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from dask.system import CPU_COUNT
from dask.utils import parse_bytes

from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.limits import MOST_BYTES, MOST_THREADS, MOST_WORKERS, short
from tracin_dask.patience import Patience
from tracin_dask.versions import refuse_other_versions

if TYPE_CHECKING:
    from distributed import Client

_LIMITS = {"workers": MOST_WORKERS, "threads_per_worker": MOST_THREADS, "memory_per_worker": MOST_BYTES}
_NO_ANSWER = "Timed out trying to connect"
"""How Dask's error begins if a worker does not answer."""
_ASK_AGAIN_SECONDS = 0.5
_WAITS = "not all workers answer; the run waits for them"
_CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.soft_limit_in_bytes",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory.high",
    "/sys/fs/cgroup/memory.low",
)
"""Files with the limits of control groups, of the first version and of the second."""
MEMORY_SHARE = 0.8
"""Part of the machine's memory, or of a GPU's, that a run plans with when no limit is stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Where a run happens; the planner fits the work into it."""

    num_workers: int = 1
    threads_per_worker: int = 1
    memory_bytes: int
    """Memory of one worker process."""
    device_bytes: int | None = None
    """Memory of one worker's GPU that a run may take; None where workers have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The workers that somebody asks for; None leaves the choice to the cluster."""

    workers: int | None = None
    """Their number, for workers on the CPUs of this machine."""
    threads_per_worker: int | None = None
    memory_per_worker: int | None = None
    """In bytes."""

    def __post_init__(self) -> None:
        """Refuse numbers that no machine has.

        Raises
        ------
        ConfigError
            With the number and what is allowed.
        """
        for name, most in _LIMITS.items():
            number = getattr(self, name)
            if number is not None and not 1 <= number <= most:
                raise ConfigError(f"{name} must be a whole number from 1 to {most:,}, not {short(number)}")

    def applied_to(self, resources: Resources) -> Resources:
        """Give workers of the size that is asked for."""
        return replace(
            resources,
            threads_per_worker=self.threads_per_worker or resources.threads_per_worker,
            memory_bytes=self.memory_per_worker or resources.memory_bytes,
        )

    def refuse_number(self, title: str) -> None:
        """Refuse a number of workers on a cluster that has its own.

        Raises
        ------
        ConfigError
            If a number is asked for.
        """
        if self.workers is not None:
            raise ConfigError(
                f"{self.workers} worker(s) are asked for, but {title} states its own number of workers; leave it out, "
                "or run on this machine's CPUs (cluster local)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The part of this machine that the calling process may use."""

    num_cpus: int
    memory_bytes: int
    num_gpus: int = 0

    def shared_by(self, num_workers: int) -> Resources:
        """Give workers that share the CPUs and most of the memory evenly."""
        return Resources(
            num_workers=num_workers,
            threads_per_worker=max(1, self.num_cpus // num_workers),
            memory_bytes=int(MEMORY_SHARE * self.memory_bytes / num_workers),
        )


def this_machine() -> Machine:
    """Count the CPUs, the memory and the GPUs that this process may use (limits of a container count)."""
    return Machine(num_cpus=cpu_count(), memory_bytes=memory_limit(), num_gpus=gpu_count())


def of_this_process() -> Resources:
    """Give the CPUs and most of the memory that this process may use (limits of a container count)."""
    return Machine(num_cpus=cpu_count(), memory_bytes=memory_limit()).shared_by(1)


def on_own_gpu(resources: Resources, device_limit: str = str(MEMORY_SHARE)) -> Resources:
    """Add most of the memory of the first GPU that this process may use, if there is one."""
    found = own_gpu()
    return resources if found is None else replace(resources, device_bytes=_limited(found[1], device_limit))


def ask(
    client: "Client", function: Callable[..., Any], *arguments: object, check: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Let every worker call a function, and give what it returns by the worker's address.

    A worker that is stopped or that ends meanwhile does not answer: all are asked again until they do, or until
    `check`, called before, raises an error.
    """
    from distributed.comm.core import CommClosedError  # noqa: PLC0415 - takes long, and only clusters need it

    with Patience().telling(_WAITS):
        while True:
            check()
            try:
                answers: dict[str, Any] = client.run(function, *arguments)
            except OSError as error:
                has_no_answer = isinstance(error, CommClosedError) or str(error).startswith(_NO_ANSWER)
                if client.status != "running" or not has_no_answer:
                    raise
                time.sleep(_ASK_AGAIN_SECONDS)
            else:
                return answers


def of_client(client: "Client", device_limit: str = str(MEMORY_SHARE)) -> Resources:
    """Ask the workers of a client; the workers of a host share its CPUs evenly.

    `device_limit` is the memory of a GPU that a run may use: a part (0.8) or a size (16GiB).

    Raises
    ------
    ClusterError
        If there is no worker, or scheduler and workers have other versions of Python or packages than this process.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise ClusterError("the cluster has no workers; start some and try again")
    with Patience().telling(_WAITS):
        refuse_other_versions(client)
    per_host = Counter(worker["host"] for worker in workers.values())
    cpus = ask(client, cpu_count)
    limits = [worker["memory_limit"] or memory_limit() for worker in workers.values()]
    devices = [device for device in ask(client, own_gpu).values() if device is not None]
    sharing = Counter(uuid for uuid, _ in devices)
    return Resources(
        num_workers=len(workers),
        threads_per_worker=max(1, min(cpus[address] // per_host[w["host"]] for address, w in workers.items())),
        memory_bytes=int(min(limits)),
        device_bytes=min((_limited(total, device_limit) // sharing[uuid] for uuid, total in devices), default=None),
    )


def _limited(total: int, limit: str) -> int:
    try:
        return int(float(limit) * total)
    except ValueError:
        return min(total, int(parse_bytes(limit)))


def own_gpu() -> tuple[str, int] | None:
    """Give the UUID and the bytes of the first GPU that this process may use, by its driver's library."""
    from distributed.diagnostics import nvml  # noqa: PLC0415 - distributed is slow to import

    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if first in {"", "-1"} or nvml.device_get_count() == 0:
        return None
    uuid = nvml.get_device_index_and_uuid(first).uuid
    return str(uuid), int(nvml.one_time()["memory-total"])


def cpu_count() -> int:
    """Count the CPUs that the calling process may use."""
    return int(CPU_COUNT)


def memory_limit() -> int:
    """Give the bytes of memory that this process may use: those of the machine, or of its container if they are fewer.

    Dask's workers have the same limit (`distributed.system`), which takes a quarter of a second to import.
    """
    limits: list[int] = [
        psutil.virtual_memory().total,
        resource.getrlimit(resource.RLIMIT_RSS)[1],
        *_container_limits(),
    ]
    return min(limit for limit in limits if limit > 0)


def _container_limits() -> Iterator[int]:
    """Read the limits that a container sets; one that has none says so in a word."""
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):
            yield int(Path(path).read_text(encoding="ascii"))


def gpu_count() -> int:
    """Count the NVIDIA GPUs by their driver's library: CUDA itself stays untouched in this process."""
    from distributed.diagnostics import nvml  # noqa: PLC0415 - distributed is slow to import

    return int(nvml.device_get_count())
