"""Jobs of an HTCondor pool, started by dask-jobqueue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracin_dask.clusters import settings
from tracin_dask.clusters.jobs import Jobs
from tracin_dask.clusters.settings import setting
from tracin_dask.errors import ConfigError

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class HTCondor(Jobs):
    """Jobs of an HTCondor pool, each with one worker or one per GPU."""

    title: ClassVar[str] = "HTCondor"
    cluster_class: ClassVar[str] = "HTCondorCluster"

    disk_per_job: int = setting(settings.size, GIB)

    def __post_init__(self) -> None:
        """Refuse settings that do not go together; raises as `Jobs`, and for lines that a submit file cannot hold."""
        Jobs.__post_init__(self)
        if not all(command.isprintable() for command in self.setup):
            raise ConfigError("setup: HTCondor takes commands of one line each; put longer ones into a file")
        for directive in self.directives:
            if "=" not in directive:
                raise ConfigError(f"directives: expected `name = value` of a submit file, not {directive!r}")

    def own_options(self) -> Mapping[str, Any]:
        """Give the arguments of `HTCondorCluster`; jobs are held when their walltime is over."""
        named = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in self.directives)}
        own: dict[str, Any] = {
            "RequestCpus": self.cpus_per_job,
            "allowed_job_duration": settings.walltime_seconds(self.walltime),
        }
        if self.gpus_per_job:
            own["request_gpus"] = self.gpus_per_job
        if self.account:
            own["accounting_group"] = self.account
        return {"disk": f"{self.disk_per_job}B", "job_extra_directives": own | named}

    def state_command(self, ids: Sequence[str]) -> list[str]:
        """Ask for the states of the jobs."""
        return ["condor_q", "-nobatch", *ids]
