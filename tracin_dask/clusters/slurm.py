"""Jobs of a Slurm cluster, started by dask-jobqueue: each job is one worker, or one per GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tracin_dask.clusters import settings
from tracin_dask.clusters.jobs import Jobs
from tracin_dask.clusters.sbatch import sbatch
from tracin_dask.clusters.settings import setting

MEM, MEM_PER_CPU, NONE = "mem", "mem-per-cpu", "none"
GRES, GPUS_PER_NODE, GPUS = "gres", "gpus-per-node", "gpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm(Jobs):
    """Jobs of a Slurm cluster, each with one worker or one per GPU."""

    title: ClassVar[str] = "Slurm"
    cluster_class: ClassVar[str] = "SLURMCluster"

    queue: str | None = setting(settings.text, None)
    """The partition."""
    memory_option: str = setting(settings.choice(MEM, MEM_PER_CPU, NONE), MEM)
    """How the memory of a job is asked for; some sites give it by the CPUs, and refuse --mem."""
    gpu_option: str = setting(settings.choice(GRES, GPUS_PER_NODE, GPUS, NONE), GRES)
    """How GPUs are asked for; none where a directive or the partition does so."""
    gpu_type: str | None = setting(settings.text, None)
    """As `sinfo -o %G` names it: the a100 in gpu:a100:4."""
    constraint: str | None = setting(settings.text, None)
    """Features that nodes must have."""
    exclusive: bool = setting(settings.yes_or_no, default=False)
    """Take whole nodes."""

    def own_options(self) -> Mapping[str, Any]:
        """Give the arguments of `SLURMCluster` that the others do not have."""
        return {
            "queue": self.queue,
            "account": self.account,
            "walltime": self.walltime,
            "job_cpu": self.cpus_per_job,
            "job_directives_skip": [] if self.memory_option == MEM else ["--mem="],
        }

    @property
    def own_directives(self) -> list[str]:
        """Options of sbatch for memory in another form than --mem, GPUs, features and whole nodes."""
        memory = self.memory_directives if self.memory_option == MEM_PER_CPU else []
        return [*memory, *self.node_directives]

    @property
    def memory_directives(self) -> list[str]:
        """The memory of a job as an option of sbatch, if it is asked for."""
        if self.memory_option == NONE:
            return []
        number = self.cpus_per_job if self.memory_option == MEM_PER_CPU else 1
        return [f"--{self.memory_option}={self.memory_per_job // number // 2**20}M"]

    @property
    def node_directives(self) -> list[str]:
        """GPUs, features and whole nodes as options of sbatch."""
        counted = f"{self.gpu_type}:{self.gpus_per_job}" if self.gpu_type else f"{self.gpus_per_job}"
        forms = {GRES: f"--gres=gpu:{counted}", GPUS_PER_NODE: f"--gpus-per-node={counted}", GPUS: f"--gpus={counted}"}
        return [
            *([forms[self.gpu_option]] if self.gpus_per_job and self.gpu_option in forms else []),
            *([f"--constraint={self.constraint}"] if self.constraint else []),
            *(["--exclusive"] if self.exclusive else []),
        ]

    def state_command(self, ids: Sequence[str]) -> list[str]:
        """Ask for states, and for the reasons of pending jobs."""
        return ["squeue", "--noheader", "--format=%A %T %R", "--jobs", ",".join(ids)]

    def refuse_wrong_job(self) -> Path:
        """Ask Slurm whether it would take the script of a job."""
        script = Jobs.refuse_wrong_job(self)
        sbatch(script, "--test-only")
        return script
