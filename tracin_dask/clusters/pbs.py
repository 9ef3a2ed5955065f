"""Jobs of a PBS cluster (PBS Professional, OpenPBS), started by dask-jobqueue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracin_dask.clusters import settings
from tracin_dask.clusters.jobs import Jobs
from tracin_dask.clusters.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Pbs(Jobs):
    """Jobs of a PBS cluster, each with one worker or one per GPU."""

    title: ClassVar[str] = "PBS"
    cluster_class: ClassVar[str] = "PBSCluster"

    queue: str | None = setting(settings.text, None)
    resource_spec: str | None = setting(settings.text, None)
    """After `#PBS -l`, where the site has other names: Torque's `nodes=1:ppn=8,mem=64gb`."""

    def own_options(self) -> Mapping[str, Any]:
        """Give the arguments of `PBSCluster` that the others do not have."""
        spec = self.resource_spec or self._select()
        return {"queue": self.queue, "account": self.account, "walltime": self._walltime(), "resource_spec": spec}

    def _select(self) -> str:
        """Ask for one chunk; PBS counts in powers of 1024 and writes mb for MiB."""
        gpus = f":ngpus={self.gpus_per_job}" if self.gpus_per_job else ""
        return f"select=1:ncpus={self.cpus_per_job}{gpus}:mem={self.memory_per_job // 2**20}mb"

    def _walltime(self) -> str:
        """Write hours, minutes and seconds: PBS knows no days."""
        minutes, seconds = divmod(settings.walltime_seconds(self.walltime), 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"

    def state_command(self, ids: Sequence[str]) -> list[str]:
        """Ask for states, with a comment on why a job waits."""
        return ["qstat", "-s", *ids]
