"""Worker processes on the CPUs of this machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from distributed import LocalCluster

from tracin_dask.clusters import settings
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.started import started
from tracin_dask.clusters.this_machine import LOOPBACK, of_this_machine
from tracin_dask.resources import Machine, Resources, WorkerOptions, this_machine

MOST_WORKERS = 8
"""Without a stated number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Worker processes on the CPUs of this machine, with one Dask thread each."""

    title: ClassVar[str] = "this machine's CPUs"

    workers: int | None = setting(settings.count, None)
    """By CPUs and memory if not stated."""
    threads_per_worker: int | None = setting(settings.count, None)
    memory_per_worker: int | None = setting(settings.size, None)
    dashboard_address: str = setting(settings.text, "127.0.0.1:8787")
    scratch: str | None = setting(settings.text, None)
    """Folder for what workers spill to disk."""

    def __post_init__(self) -> None:
        """Refuse numbers that no machine has; raises as `WorkerOptions`."""
        WorkerOptions(
            workers=self.workers,
            threads_per_worker=self.threads_per_worker,
            memory_per_worker=self.memory_per_worker,
        )

    def describe(self) -> str:
        """Say what would be started."""
        workers = "as many workers as fit" if self.workers is None else f"{self.workers} worker(s)"
        return f"{workers} on this machine's CPUs; dashboard on {self.dashboard_address}"

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:
        """Give one worker per CPU, then fewer with more memory each; what is asked for comes before the settings."""
        number = asked.workers or self.workers
        size = WorkerOptions(
            threads_per_worker=asked.threads_per_worker or self.threads_per_worker,
            memory_per_worker=asked.memory_per_worker or self.memory_per_worker,
        )
        numbers = [number] if number else range(min(machine.num_cpus, MOST_WORKERS), 0, -1)
        return [size.applied_to(machine.shared_by(workers)) for workers in numbers]

    @contextmanager
    def open(self, start: Start) -> Iterator[OpenCluster]:
        """Start the workers, and stop them at the end.

        The dashboard takes another port if the stated one is in use.

        Raises
        ------
        ClusterError
            If the workers do not start.
        """
        resources = start.resources or self.expected_resources(WorkerOptions(), this_machine())[0]
        options = {
            "n_workers": resources.num_workers,
            "threads_per_worker": 1,
            "memory_limit": resources.memory_bytes,
            "host": LOOPBACK,
            "dashboard_address": self.dashboard_address,
            "local_directory": self.scratch,
            "preload": list(start.preload),
        }
        with (
            of_this_machine() as common,
            started(LocalCluster, common | options, title="--cluster local", patience=start.patience) as (_, client),
        ):
            yield OpenCluster(client=client, resources=resources, workers_return=False)
