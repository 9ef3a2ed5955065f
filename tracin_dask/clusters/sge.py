"""Jobs of a Grid Engine (SGE, UGE, AGE), started by dask-jobqueue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracin_dask.clusters import settings
from tracin_dask.clusters.jobs import Jobs
from tracin_dask.clusters.settings import setting

NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sge(Jobs):
    """Jobs of a Grid Engine, each with one worker or one per GPU."""

    title: ClassVar[str] = "Grid Engine"
    cluster_class: ClassVar[str] = "SGECluster"

    queue: str | None = setting(settings.text, None)
    parallel_environment: str = setting(settings.text, "smp")
    """For jobs of several CPUs; `qconf -spl` lists those of the site."""
    memory_resource: str = setting(settings.text, "h_vmem")
    """What the site calls memory; the request is per CPU. `none` asks for none."""
    gpu_resource: str = setting(settings.text, "gpu")
    """What the site calls GPUs. `none` asks for none."""

    def own_options(self) -> Mapping[str, Any]:
        """Give the arguments of `SGECluster` that the others do not have; Grid Engine knows no days."""
        seconds = settings.walltime_seconds(self.walltime)
        return {"queue": self.queue, "project": self.account, "walltime": str(seconds)}

    @property
    def own_directives(self) -> list[str]:
        """CPUs, memory and GPUs as options of qsub."""
        cpus, gpus = self.cpus_per_job, self.gpus_per_job
        memory = f"-l {self.memory_resource}={self.memory_per_job // cpus // 2**20}M"
        return [
            *([f"-pe {self.parallel_environment} {cpus}"] if cpus > 1 else []),
            *([memory] if self.memory_resource != NONE else []),
            *([f"-l {self.gpu_resource}={gpus}"] if gpus and self.gpu_resource != NONE else []),
        ]

    def state_command(self, ids: Sequence[str]) -> list[str]:  # noqa: ARG002 - `qstat` lists all own jobs
        """Ask for the states of all own jobs."""
        return ["qstat"]
