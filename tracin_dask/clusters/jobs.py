"""What all batch systems have in common: the settings of jobs that dask-jobqueue submits, and how they are opened.

Each job has one worker, or one per GPU. A batch system is a subclass with its own settings in a file of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import dask
from distributed import Client

from tracin_dask.clusters import settings, tls
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.job_options import class_of, cluster_options, job_script
from tracin_dask.clusters.job_waiting import SCRIPT, JobQueue, submit_jobs, wait_for_workers
from tracin_dask.clusters.listening import refuse_missing_interface
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.started import started
from tracin_dask.errors import ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions, of_client

LEAVE_SECONDS = 120
"""Workers leave this long before their job ends, or a tenth of its time if that is less."""
REPLACE_EVERY = "5s"
"""How often lost jobs are looked for."""
ALLOWED_FAILURES = 10
"""How many workers may be lost at one task: jobs are preempted and cancelled for reasons that are not the task's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs(tls.Certificates, ABC):
    """Jobs of a batch system, each with one worker or one per GPU."""

    title: ClassVar[str]
    cluster_class: ClassVar[str]
    """Of dask-jobqueue: `SLURMCluster`."""

    jobs: int = setting(settings.count)
    walltime: str = setting(settings.walltime)
    leave_before: str | None = setting(settings.walltime, None)
    """How long before the end of their job workers leave; two minutes, or a tenth of the walltime if that is less."""
    memory_per_job: int = setting(settings.size)
    cpus_per_job: int = setting(settings.count, 1)
    gpus_per_job: int = setting(settings.whole_number, 0)
    workers_per_job: int | None = setting(settings.count, None)
    """One per GPU, or one, if not stated."""
    account: str | None = setting(settings.text, None)
    device_memory_limit: str = setting(settings.device_memory, "0.8")
    interface: str | None = setting(settings.text, None)
    """Network interface of the workers, e.g. ib0, and of the scheduler if it has none of its own."""
    scheduler_interface: str | None = setting(settings.text, None)
    """Network interface of the scheduler, where this machine's is named otherwise than the nodes'."""
    host: str | None = setting(settings.text, None)
    """Address that scheduler and workers bind to, instead of an interface."""
    dashboard_address: str = setting(settings.text, ":8787")
    python: str | None = setting(settings.text, None)
    """Interpreter on the nodes; the calling one if not stated."""
    setup: tuple[str, ...] = setting(settings.shell_commands, ())
    """Lines of shell that run before the worker: modules, environments."""
    directives: tuple[str, ...] = setting(settings.texts, ())
    """Further lines of the batch system in the script of a job."""
    logs: str = setting(settings.text, "tracin-dask-logs")
    scratch: str | None = setting(settings.text, None)
    wait_minutes: int = setting(settings.count, 60)
    """How long to wait for the first worker while jobs are pending."""

    def __post_init__(self) -> None:
        """Refuse settings that do not go together.

        Raises
        ------
        ConfigError
            If workers are counted where GPUs count them, or would leave before they come, or a text has a line break.
        """
        for found in fields(self):
            value = getattr(self, found.name)
            texts = value if isinstance(value, tuple) else (value,)
            if found.name != "setup" and not all(text.isprintable() for text in texts if isinstance(text, str)):
                raise ConfigError(f"{found.name}: a line break or control character would change the script of the job")
        tls.Certificates.__post_init__(self)  # super() does not know a class with slots
        if self.host and (self.interface or self.scheduler_interface):
            raise ConfigError("host and interface both say where scheduler and workers listen; state only one of them")
        if self.lifetime_seconds < 1:
            raise ConfigError(
                f"leave_before: workers would leave {self.leave_before} before the end of {self.walltime}: at once"
            )
        if self.gpus_per_job and self.workers_per_job:
            raise ConfigError("workers_per_job is for jobs without GPUs; with gpus_per_job there is one worker per GPU")

    @abstractmethod
    def own_options(self) -> Mapping[str, Any]:
        """Give the arguments of the batch system's class in dask-jobqueue that the others do not have."""

    @abstractmethod
    def state_command(self, ids: Sequence[str]) -> list[str]:
        """Give the command that prints the states of the jobs with these numbers."""

    @property
    def own_directives(self) -> list[str]:
        """Lines of the batch system that its settings ask for and dask-jobqueue has no argument for."""
        return []

    def refuse_wrong_job(self) -> Path:
        """Write the script of a job into the folder of logs; a batch system that can judge it unseen is asked.

        Raises
        ------
        ClusterError
            If the batch system would refuse it.
        """
        script = Path(self.logs) / SCRIPT
        script.write_text(job_script(self), encoding="utf-8")
        return script

    @property
    def lifetime_seconds(self) -> int:
        """Seconds after which a worker leaves: before its job is ended, so that no work is lost."""
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

    @property
    def listen(self) -> dict[str, str]:
        """The interface or the address that workers bind to, as Dask names them."""
        if self.interface:
            return {"interface": self.interface}
        return {"host": self.host} if self.host else {}

    @property
    def scheduler_listen(self) -> dict[str, str]:
        """The interface or the address that the scheduler binds to."""
        return {"interface": self.scheduler_interface} if self.scheduler_interface else self.listen

    def describe(self) -> str:
        """Give the script of a job."""
        return f"{self.jobs} job(s), each with this script:\n\n{job_script(self)}"

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:  # noqa: ARG002 - its workers are on other machines
        """Give the workers of all jobs."""
        asked.refuse_number(self.title)
        resources = Resources(
            num_workers=self.num_workers,
            threads_per_worker=self.threads_per_worker,
            memory_bytes=self.memory_per_job // self.num_workers_per_job,
        )
        return [asked.applied_to(resources)]

    @contextmanager
    def open(self, start: Start) -> Iterator[OpenCluster]:
        """Submit the jobs, wait for the first worker, replace jobs that are lost, and cancel them at the end.

        Raises
        ------
        ClusterError
            If dask-jobqueue or the batch system is not there, it refuses the jobs, or no worker comes in time: then
            with the states of the jobs.
        ConfigError
            If this machine has no such network interface.
        """
        listen = self.scheduler_listen
        refuse_missing_interface(
            "scheduler_interface" if self.scheduler_interface else "interface", listen.get("interface")
        )
        Path(self.logs).mkdir(parents=True, exist_ok=True)
        self.refuse_wrong_job()
        # do not wait for the return of workers that are gone: their jobs are replaced
        dask_settings = tls.dask_settings(self) | {
            "distributed.deploy.lost-worker-timeout": REPLACE_EVERY,
            "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        }
        with dask.config.set(dask_settings):
            options = cluster_options(self, start.preload)
            options["scheduler_options"] = listen | {"dashboard_address": self.dashboard_address}
            if tls.encrypts("client", "scheduler", "worker"):
                options["protocol"] = "tls://"
            with started(class_of(self), options, title=self.title, patience=start.patience) as (cluster, client):
                yield from self._when_there(cluster, client, start)

    def _when_there(self, cluster: Any, client: Client, start: Start) -> Iterator[OpenCluster]:  # noqa: ANN401 - dask-jobqueue has no types
        """Submit the jobs, let lost ones be replaced, and wait for the first worker."""
        logs, minutes = Path(self.logs), self.wait_minutes
        queue = JobQueue(title=self.title, state_command=self.state_command, logs=logs, wait_minutes=minutes)
        submit_jobs(cluster, self.jobs, queue)
        cluster.adapt(minimum_jobs=self.jobs, maximum_jobs=self.jobs, interval=REPLACE_EVERY)
        wait_for_workers(client, cluster, queue, self.num_workers if start.all_workers else 1)
        yield OpenCluster(client=client, resources=self._resources_of(client))

    def _resources_of(self, client: Client) -> Resources:
        """Ask the workers that are there for their memory; the others will come."""
        found = of_client(client, self.device_memory_limit)
        return replace(found, num_workers=self.num_workers, threads_per_worker=self.threads_per_worker)
