"""Jobs of a Slurm cluster, started by dask-jobqueue: each job is one worker, or one per GPU."""

import importlib
import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import dask
from distributed import Client

from tracin_dask.clusters import settings, tls
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.sbatch import sbatch
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.started import started
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions, of_client

logger = logging.getLogger(__name__)

LIFETIME = "DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION"
"""Dask's setting by its variable: the command of dask-cuda has no option for it."""
LEAVE_SECONDS = 120
"""Workers leave this long before their job ends, or a tenth of its time if that is less."""
REPLACE_EVERY = "5s"
"""How often lost jobs are looked for."""
EXPLAIN_SECONDS = 30
"""How often the reasons of pending jobs are printed."""
ALLOWED_FAILURES = 10
"""How many workers may be lost at one task: jobs are preempted and cancelled for reasons that are not the task's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm:
    """Jobs of a Slurm cluster, each with one worker or one per GPU."""

    title: ClassVar[str] = "Slurm"

    jobs: int = setting(settings.count)
    walltime: str = setting(settings.walltime)
    leave_before: str | None = setting(settings.walltime, None)
    """How long before the end of their job workers leave; two minutes, or a tenth of the walltime if that is less."""
    memory_per_job: int = setting(settings.size)
    cpus_per_job: int = setting(settings.count, 1)
    gpus_per_job: int = setting(settings.whole_number, 0)
    workers_per_job: int | None = setting(settings.count, None)
    """One per GPU, or one, if not stated."""
    queue: str | None = setting(settings.text, None)
    account: str | None = setting(settings.text, None)
    device_memory_limit: str = setting(settings.device_memory, "0.8")
    interface: str | None = setting(settings.text, None)
    """Network interface of scheduler and workers, e.g. ib0."""
    host: str | None = setting(settings.text, None)
    """Address that scheduler and workers bind to, instead of an interface."""
    python: str | None = setting(settings.text, None)
    """Interpreter on the nodes; the calling one if not stated."""
    setup: tuple[str, ...] = setting(settings.shell_commands, ())
    """Lines of shell that run before the worker: modules, environments."""
    directives: tuple[str, ...] = setting(settings.texts, ())
    """Further options of sbatch."""
    logs: str = setting(settings.text, "tracin-dask-logs")
    scratch: str | None = setting(settings.text, None)
    wait_minutes: int = setting(settings.count, 60)
    """How long to wait for the first worker while jobs are pending."""
    tls_ca_file: str | None = setting(settings.text, None)
    tls_cert: str | None = setting(settings.text, None)
    tls_key: str | None = setting(settings.text, None)

    def __post_init__(self) -> None:
        """Refuse settings that do not go together.

        Raises
        ------
        ConfigError
            If workers are counted where GPUs count them, or would leave before they come, or a text has a line break.
        """
        for name in ("queue", "account", "interface", "host", "python", "logs", "scratch", "directives"):
            if not "".join(getattr(self, name) or "").isprintable():
                raise ConfigError(f"{name}: a line break or control character would change the script of the job")
        tls.refuse_half(self)
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

    @property
    def listen(self) -> dict[str, str]:
        """The interface or the address that the scheduler binds to, as Dask names them."""
        if self.interface:
            return {"interface": self.interface}
        return {"host": self.host} if self.host else {}

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
            If dask-jobqueue or Slurm is not there, Slurm refuses the jobs, or no worker comes in time: then with the
            states of the jobs.
        """
        Path(self.logs).mkdir(parents=True, exist_ok=True)
        _let_slurm_judge(self)
        # do not wait for the return of workers that are gone: their jobs are replaced
        dask_settings = tls.dask_settings(self) | {
            "distributed.deploy.lost-worker-timeout": REPLACE_EVERY,
            "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        }
        with dask.config.set(dask_settings):
            options = cluster_options(self, start.preload)
            options["scheduler_options"] = self.listen | {"dashboard_address": ":8787"}
            if tls.encrypts("client", "scheduler", "worker"):
                options["protocol"] = "tls://"
            with started(jobqueue().SLURMCluster, options, title="Slurm", patience=start.patience) as (cluster, client):
                yield from self._when_there(cluster, client, start)

    def _when_there(self, cluster: Any, client: Client, start: Start) -> Iterator[OpenCluster]:  # noqa: ANN401 - dask-jobqueue has no types
        """Let lost jobs be replaced, and wait for the first worker."""
        cluster.adapt(minimum_jobs=self.jobs, maximum_jobs=self.jobs, interval=REPLACE_EVERY)
        _wait_for_workers(client, cluster, self, self.num_workers if start.all_workers else 1)
        yield OpenCluster(client=client, resources=self._resources_of(client))

    def _resources_of(self, client: Client) -> Resources:
        """Ask the workers that are there for their memory; the others will come."""
        found = of_client(client, self.device_memory_limit)
        return replace(found, num_workers=self.num_workers, threads_per_worker=self.threads_per_worker)


def cluster_options(site: Slurm, preload: Sequence[str] = ()) -> dict[str, Any]:
    """Give the arguments of `dask_jobqueue.SLURMCluster`; those of the scheduler are left out."""
    workers = site.num_workers_per_job
    bind = [word for name, value in site.listen.items() for word in (f"--{name}", shlex.quote(value))]
    gpu = ["--device-memory-limit", site.device_memory_limit] if site.gpus_per_job else []
    modules = [word for module in preload for word in ("--preload", module)]
    directives = [f"--gres=gpu:{site.gpus_per_job}"] if site.gpus_per_job else []
    options: dict[str, Any] = {
        "job_name": "tracin-dask",
        "queue": site.queue,
        "account": site.account,
        "walltime": site.walltime,
        "cores": workers,
        "processes": workers,
        "job_cpu": site.cpus_per_job,
        "memory": f"{site.memory_per_job}B",
        "python": shlex.quote(site.python or sys.executable),
        "job_script_prologue": [
            *site.setup,
            *(f"export {name}={shlex.quote(value)}" for name, value in tls.exports(tls.dask_settings(site)).items()),
            f"export {LIFETIME}={site.lifetime_seconds}s",
        ],
        "job_extra_directives": [*directives, *site.directives],
        "worker_extra_args": [*bind, *gpu, *modules],
        "log_directory": site.logs,
        "local_directory": shlex.quote(site.scratch) if site.scratch else None,
    }
    if site.gpus_per_job:
        options["worker_command"] = "dask_cuda.cli"
    return options


def jobqueue() -> Any:  # noqa: ANN401 - it has no types
    """Import dask-jobqueue.

    Raises
    ------
    ClusterError
        If it is not installed.
    """
    try:
        return importlib.import_module("dask_jobqueue")
    except ImportError as error:
        raise ClusterError(
            f"Slurm needs dask-jobqueue ({error}); install it with `pip install 'tracin-dask[jobqueue]'`"
        ) from error


def job_script(site: Slurm, scheduler: str = "SCHEDULER:PORT") -> str:
    """Give the script of one job, without submitting anything."""
    address = f"{'tcp' if site.tls_cert is None else 'tls'}://{scheduler}"
    script: str = jobqueue().slurm.SLURMJob(scheduler=address, name="worker", **cluster_options(site)).job_script()
    return script


def _let_slurm_judge(site: Slurm) -> None:
    """Ask Slurm whether it would take the jobs: dask-jobqueue would submit refused ones again and again."""
    script = Path(site.logs) / "worker.sh"
    script.write_text(job_script(site), encoding="utf-8")
    sbatch(script, "--test-only")


def _wait_for_workers(client: Client, cluster: Any, site: Slurm, number: int) -> None:  # noqa: ANN401 - dask-jobqueue has no types
    """Wait for so many workers, and say every half minute what the jobs wait for."""
    deadline = time.monotonic() + 60 * site.wait_minutes
    while time.monotonic() < deadline:
        try:
            client.wait_for_workers(number, timeout=EXPLAIN_SECONDS)
        except TimeoutError:
            logger.warning("waiting for Slurm: %s so far; %s", _arrived(client, number), _states(cluster))
        else:
            return
    raise ClusterError(
        f"{_arrived(client, number)} after {site.wait_minutes} minutes; {_states(cluster)}; the output of the jobs is "
        f"in {site.logs}"
    )


def _arrived(client: Client, number: int) -> str:
    """Say how many workers are there."""
    there = len(client.scheduler_info(n_workers=-1)["workers"])
    return f"{there} of {number} workers" if there else "no worker"


def _states(cluster: Any) -> str:  # noqa: ANN401 - dask-jobqueue has no types
    """Ask Slurm for the states of the jobs, and for the reasons of pending ones."""
    ids = [worker.job_id for worker in cluster.workers.values() if getattr(worker, "job_id", None)]
    if not ids:
        return "no job was submitted"
    command = ["squeue", "--noheader", "--format=%A %T %R", "--jobs", ",".join(ids)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - fixed words and job numbers
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"squeue does not answer ({error})"
    return "jobs: " + "; ".join(answer.stdout.split("\n")[:-1] or ["none is left: they ended at once"])
