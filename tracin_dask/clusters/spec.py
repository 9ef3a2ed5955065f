"""What `--cluster` says: the kind of cluster and its settings, parsed once and checked.

Each setting states how its text in a specification file is read, so that a kind is described in one place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tracin_dask.clusters import settings
from tracin_dask.errors import ConfigError

ADDRESS_SCHEMES = ("tcp://", "tls://", "ws://", "wss://", "ucx://")
NO_GPU = "--cluster cuda: the driver sees no NVIDIA GPU (`nvidia-smi` lists them); --cluster local takes the CPUs"
LEAVE_SECONDS = 120
"""Workers leave so long before their job ends, or a tenth of its time if that is less, and hand over what they hold."""
_NOT_STATED: Any = object()


def _setting(read: Callable[[settings.Node], object], default: Any = _NOT_STATED) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Describe a setting by how it is read; without a default it must be stated."""
    metadata = {"read": read}
    return field(metadata=metadata) if default is _NOT_STATED else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoSpec:
    """This process for small jobs, else workers on this machine: one per GPU where there are any, else on its CPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSpec:
    """A cluster that somebody else started."""

    address: str = _setting(settings.text)
    """Of its scheduler, or the path of its scheduler file."""
    workers: int = _setting(settings.count, 1)
    """How many must be there before a run starts."""
    wait_minutes: int = _setting(settings.count, 1)
    """How long to wait for them."""
    device_memory_limit: str = _setting(settings.device_memory, "0.8")
    """Of a GPU's memory what a run may take: a part of it, or a size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSpec:
    """Worker processes on this machine's CPUs."""

    workers: int | None = _setting(settings.count, None)
    """By CPUs and memory if not stated."""
    threads_per_worker: int | None = _setting(settings.count, None)
    memory_per_worker: int | None = _setting(settings.size, None)
    dashboard_address: str = _setting(settings.text, "127.0.0.1:8787")
    scratch: str | None = _setting(settings.text, None)
    """Folder for what workers spill to disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaSpec:
    """Worker processes on this machine's GPUs, one per device."""

    devices: tuple[str, ...] = _setting(settings.texts, ())
    """Indices or UUIDs of GPUs or MIG slices; all visible ones if not stated."""
    device_memory_limit: str = _setting(settings.device_memory, "0.8")
    """Of a device's memory what a run may take: a part of it, or a size."""
    memory_per_worker: int | None = _setting(settings.size, None)
    """Host memory."""
    rmm_pool_size: str | None = _setting(settings.device_memory, None)
    """Device memory that RMM takes at the start, if it is installed."""
    rmm_managed_memory: bool = _setting(settings.yes_or_no, default=False)
    """Let RMM take memory that the driver moves between host and device."""
    dashboard_address: str = _setting(settings.text, "127.0.0.1:8787")
    scratch: str | None = _setting(settings.text, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSpec:
    """Jobs of a Slurm cluster, each with one worker or one per GPU."""

    jobs: int = _setting(settings.count)
    walltime: str = _setting(settings.walltime)
    leave_before: str | None = _setting(settings.walltime, None)
    """How long before the end of their job workers leave; two minutes, or a tenth of the walltime if that is less."""
    memory_per_job: int = _setting(settings.size)
    cpus_per_job: int = _setting(settings.count, 1)
    gpus_per_job: int = _setting(settings.whole_number, 0)
    workers_per_job: int | None = _setting(settings.count, None)
    """One per GPU, or one, if not stated."""
    queue: str | None = _setting(settings.text, None)
    account: str | None = _setting(settings.text, None)
    device_memory_limit: str = _setting(settings.device_memory, "0.8")
    interface: str | None = _setting(settings.text, None)
    """Network interface of scheduler and workers, e.g. ib0."""
    host: str | None = _setting(settings.text, None)
    """Address that scheduler and workers bind to, instead of an interface."""
    python: str | None = _setting(settings.text, None)
    """Interpreter on the nodes; the calling one if not stated."""
    setup: tuple[str, ...] = _setting(settings.texts, ())
    """Lines of shell that run before the worker: modules, environments."""
    directives: tuple[str, ...] = _setting(settings.texts, ())
    """Further options of sbatch."""
    logs: str = _setting(settings.text, "tracin-dask-logs")
    scratch: str | None = _setting(settings.text, None)
    wait_minutes: int = _setting(settings.count, 60)
    """How long to wait for the first worker while jobs are pending."""

    def __post_init__(self) -> None:
        """Refuse settings that do not go together.

        Raises
        ------
        ConfigError
            If workers are counted where GPUs count them, or would leave before they come.
        """
        if self.lifetime_seconds < 1:
            raise ConfigError(
                f"leave_before: workers would leave {self.leave_before} before the end of {self.walltime}: at once"
            )
        if self.gpus_per_job and self.workers_per_job:
            raise ConfigError("workers_per_job is for jobs without GPUs; with gpus_per_job there is one worker per GPU")

    @property
    def lifetime_seconds(self) -> int:
        """Seconds after which a worker leaves: before Slurm ends its job, so that no work is lost."""
        allowed = settings.walltime_seconds(self.walltime)
        leave = settings.walltime_seconds(self.leave_before) if self.leave_before else min(LEAVE_SECONDS, allowed // 10)
        return allowed - leave

    @property
    def num_workers_per_job(self) -> int:
        """Workers of one job."""
        return self.workers_per_job or self.gpus_per_job or 1

    @property
    def num_workers(self) -> int:
        """Workers of all jobs."""
        return self.jobs * self.num_workers_per_job

    @property
    def threads_per_worker(self) -> int:
        """CPUs of one worker."""
        return max(1, self.cpus_per_job // self.num_workers_per_job)


ClusterSpec = AutoSpec | AddressSpec | LocalSpec | CudaSpec | SlurmSpec
KINDS: dict[str, type[LocalSpec] | type[CudaSpec] | type[SlurmSpec] | type[AddressSpec]] = {
    "local": LocalSpec,
    "cuda": CudaSpec,
    "slurm": SlurmSpec,
    "address": AddressSpec,
}
"""The kinds that a specification file may state."""


def parse_spec(text: str) -> ClusterSpec:
    """Parse `auto`, a kind, a scheduler's address, a scheduler file (.json) or a specification file (.yaml).

    Raises
    ------
    ConfigError
        If it is none of these, or a specification file is wrong; the line is named.
    """
    if text == "auto":
        return AutoSpec()
    if text == "local":
        return LocalSpec()
    if text == "cuda":
        return CudaSpec()
    if text.endswith((".yaml", ".yml")):
        from tracin_dask.clusters.spec_file import read_spec  # noqa: PLC0415 - imports the kinds from here

        return read_spec(text)
    if text.startswith(ADDRESS_SCHEMES) or text.endswith(".json"):
        return AddressSpec(address=text)
    if text in KINDS:
        raise ConfigError(
            f"--cluster {text} needs settings of the site: write a specification file with "
            f"`tracin-dask cluster init {text}`, edit it, and give its path"
        )
    raise ConfigError(
        f"unknown cluster {text!r}; expected auto, {', '.join(KINDS)}, a specification file (.yaml), a scheduler's "
        "address such as tcp://10.0.0.1:8786, or a scheduler file (.json)"
    )
