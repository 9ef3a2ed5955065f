"""The workers of this machine: one per GPU if there are several, else processes on its CPUs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from tracin_dask.clusters.cluster import Cluster, OpenCluster, Start
from tracin_dask.clusters.kinds import find_kind
from tracin_dask.resources import Machine, Resources, WorkerOptions, this_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Auto:
    """Leaves the choice to the job and to this machine; small jobs need no workers at all."""

    title: ClassVar[str] = "this machine"

    def choice(self, machine: Machine, *, wants_cpus: bool) -> Cluster:
        """Choose the GPUs if there are several and nothing speaks for the CPUs."""
        return find_kind("cuda" if machine.num_gpus > 1 and not wants_cpus else "local")()

    def describe(self) -> str:
        """Say what would be started."""
        return "small jobs: this process; else one worker per GPU of this machine, or workers on its CPUs"

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:
        """Give those of the choice."""
        return self.choice(machine, wants_cpus=asked.workers is not None).expected_resources(asked, machine)

    def open(self, start: Start) -> AbstractContextManager[OpenCluster]:
        """Open the choice."""
        return self.choice(this_machine(), wants_cpus=False).open(start)
