"""Jobs of an LSF cluster, started by dask-jobqueue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracin_dask.clusters import settings
from tracin_dask.clusters.jobs import Jobs
from tracin_dask.clusters.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Lsf(Jobs):
    """Jobs of an LSF cluster, each with one worker or one per GPU."""

    title: ClassVar[str] = "LSF"
    cluster_class: ClassVar[str] = "LSFCluster"

    queue: str | None = setting(settings.text, None)
    memory_units: str | None = setting(settings.choice("KB", "MB", "GB", "TB"), None)
    """In which the site reads -M (LSF_UNIT_FOR_LIMITS); as its lsf.conf says if not stated."""
    gpu_options: str | None = setting(settings.text, None)
    """After `#BSUB -gpu`; `num=` with the number of GPUs if not stated."""

    def own_options(self) -> Mapping[str, Any]:
        """Give the arguments of `LSFCluster` that the others do not have; LSF reads hours and minutes."""
        minutes = settings.walltime_seconds(self.walltime) // 60
        return {
            "queue": self.queue,
            "project": self.account,
            "walltime": f"{minutes // 60:02}:{minutes % 60:02}",
            "ncpus": self.cpus_per_job,
            "mem": self.memory_per_job,
            "lsf_units": None if self.memory_units is None else self.memory_units.lower(),
        }

    @property
    def own_directives(self) -> list[str]:
        """GPUs as an option of bsub."""
        return [f'-gpu "{self.gpu_options or f"num={self.gpus_per_job}"}"'] if self.gpus_per_job else []

    def state_command(self, ids: Sequence[str]) -> list[str]:
        """Ask for states, and for the reasons of pending jobs."""
        return ["bjobs", "-p", *ids]
