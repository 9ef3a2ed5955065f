"""Jobs of a Slurm cluster, started by dask-jobqueue: each job is one worker, or one per GPU."""

import importlib
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client

from tracin_dask.clusters.sbatch import sbatch
from tracin_dask.clusters.spec import SlurmSpec
from tracin_dask.errors import ClusterError

logger = logging.getLogger(__name__)

LIFETIME = "DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION"
"""Dask's setting by its variable: dask-cuda's command has no option for it."""
REPLACE_EVERY = "5s"
"""How often lost jobs are looked for."""
EXPLAIN_SECONDS = 30
"""How often it is told what pending jobs wait for."""
ALLOWED_FAILURES = 10
"""How many workers may be lost at one task: jobs are preempted and cancelled for reasons that are not the task's."""


def cluster_options(spec: SlurmSpec, preload: Sequence[str] = ()) -> dict[str, Any]:
    """Give the arguments of `dask_jobqueue.SLURMCluster`; those of the scheduler are left out."""
    workers = spec.num_workers_per_job
    bind = ["--interface", spec.interface] if spec.interface else ["--host", spec.host] if spec.host else []
    gpu = ["--device-memory-limit", spec.device_memory_limit] if spec.gpus_per_job else []
    modules = [word for module in preload for word in ("--preload", module)]
    directives = [f"--gres=gpu:{spec.gpus_per_job}"] if spec.gpus_per_job else []
    options: dict[str, Any] = {
        "job_name": "tracin-dask",
        "queue": spec.queue,
        "account": spec.account,
        "walltime": spec.walltime,
        "cores": workers,
        "processes": workers,
        "job_cpu": spec.cpus_per_job,
        "memory": f"{spec.memory_per_job}B",
        "python": spec.python or sys.executable,
        "job_script_prologue": [*spec.setup, f"export {LIFETIME}={spec.lifetime_seconds}s"],
        "job_extra_directives": [*directives, *spec.directives],
        "worker_extra_args": [*bind, *gpu, *modules],
        "log_directory": spec.logs,
        "local_directory": spec.scratch,
    }
    if spec.gpus_per_job:
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


def job_script(spec: SlurmSpec, scheduler: str = "tcp://SCHEDULER:PORT") -> str:
    """Give the script of one job, without submitting anything."""
    script: str = jobqueue().slurm.SLURMJob(scheduler=scheduler, name="worker", **cluster_options(spec)).job_script()
    return script


@contextmanager
def slurm_cluster(spec: SlurmSpec, *, preload: Sequence[str] = ()) -> Iterator[Client]:
    """Submit the jobs, wait for the first worker, replace jobs that are lost, and cancel them at the end.

    Raises
    ------
    ClusterError
        If dask-jobqueue or Slurm is not there, Slurm refuses the jobs, or no worker comes in time; the jobs' states are
        told.
    """
    Path(spec.logs).mkdir(parents=True, exist_ok=True)
    _let_slurm_judge(spec)
    listen = {"interface": spec.interface} if spec.interface else {"host": spec.host} if spec.host else {}
    # workers that are gone must not wait for their return: their jobs are replaced
    settings = {
        "distributed.deploy.lost-worker-timeout": REPLACE_EVERY,
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    }
    with dask.config.set(settings):
        cluster = jobqueue().SLURMCluster(
            **cluster_options(spec, preload), scheduler_options=listen | {"dashboard_address": ":8787"}
        )
    with cluster, Client(cluster) as client:
        cluster.adapt(minimum_jobs=spec.jobs, maximum_jobs=spec.jobs, interval=REPLACE_EVERY)
        _wait_for_a_worker(client, cluster, spec)
        yield client


def _let_slurm_judge(spec: SlurmSpec) -> None:
    """Ask Slurm whether it would take the jobs: dask-jobqueue would go on trying with ones that are refused."""
    script = Path(spec.logs) / "worker.sh"
    script.write_text(job_script(spec), encoding="utf-8")
    sbatch(script, "--test-only")


def _wait_for_a_worker(client: Client, cluster: Any, spec: SlurmSpec) -> None:  # noqa: ANN401 - dask-jobqueue has no types
    """Wait for the first worker, and say now and then what the jobs wait for."""
    deadline = time.monotonic() + 60 * spec.wait_minutes
    while time.monotonic() < deadline:
        try:
            client.wait_for_workers(1, timeout=EXPLAIN_SECONDS)
        except TimeoutError:
            logger.warning("no worker yet; %s", _told_by_slurm(cluster))
        else:
            return
    raise ClusterError(
        f"no worker after {spec.wait_minutes} minutes; {_told_by_slurm(cluster)}; the jobs' output is in {spec.logs}"
    )


def _told_by_slurm(cluster: Any) -> str:  # noqa: ANN401 - the same
    """Say what Slurm says of the cluster's jobs: state, and why they are pending."""
    ids = [worker.job_id for worker in cluster.workers.values() if getattr(worker, "job_id", None)]
    if not ids:
        return "no job was submitted"
    command = ["squeue", "--noheader", "--format=%A %T %R", "--jobs", ",".join(ids)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - fixed words and job numbers
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"squeue does not answer ({error})"
    return "jobs: " + "; ".join(told.stdout.split("\n")[:-1] or ["none is left, so they ended at once"])
