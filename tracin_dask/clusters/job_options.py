"""From the settings of jobs to the arguments of dask-jobqueue, and to the script of a job."""

import importlib
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracin_dask.clusters import tls
from tracin_dask.errors import ClusterError

if TYPE_CHECKING:
    from tracin_dask.clusters.jobs import Jobs

LIFETIME = "DASK_DISTRIBUTED__WORKER__LIFETIME__DURATION"
"""Dask's setting by its variable: the command of dask-cuda has no option for it."""


def cluster_options(site: "Jobs", preload: Sequence[str] = ()) -> dict[str, Any]:
    """Give the arguments of the batch system's class in dask-jobqueue; those of the scheduler are left out."""
    workers = site.num_workers_per_job
    bind = [word for name, value in site.listen.items() for word in (f"--{name}", shlex.quote(value))]
    gpu = ["--device-memory-limit", site.device_memory_limit] if site.gpus_per_job else []
    modules = [word for module in preload for word in ("--preload", module)]
    options: dict[str, Any] = {
        "job_name": "tracin-dask",
        "cores": workers,
        "processes": workers,
        "memory": f"{site.memory_per_job}B",
        "python": shlex.quote(site.python or sys.executable),
        "job_script_prologue": [
            *site.setup,
            *(f"export {name}={shlex.quote(value)}" for name, value in tls.exports(tls.dask_settings(site)).items()),
            f"export {LIFETIME}={site.lifetime_seconds}s",
        ],
        "job_extra_directives": [*site.own_directives, *site.directives],
        "worker_extra_args": [*bind, *gpu, *modules],
        "log_directory": site.logs,
        "local_directory": shlex.quote(site.scratch) if site.scratch else None,
    }
    if site.gpus_per_job:
        options["worker_command"] = "dask_cuda.cli"
    return options | dict(site.own_options())


def class_of(site: "Jobs") -> Any:  # noqa: ANN401 - dask-jobqueue has no types
    """Give the class of dask-jobqueue; raises as `jobqueue`."""
    return getattr(jobqueue(site.title), site.cluster_class)


def jobqueue(title: str) -> Any:  # noqa: ANN401 - it has no types
    """Import dask-jobqueue for a batch system.

    Raises
    ------
    ClusterError
        If it is not installed.
    """
    try:
        return importlib.import_module("dask_jobqueue")
    except ImportError as error:
        raise ClusterError(
            f"{title} needs dask-jobqueue ({error}); install it with `pip install 'tracin-dask[jobqueue]'`"
        ) from error


def job_script(site: "Jobs", scheduler: str = "SCHEDULER:PORT") -> str:
    """Give the script of one job, without submitting anything."""
    address = f"{'tcp' if site.tls_cert is None else 'tls'}://{scheduler}"
    job = class_of(site).job_cls(scheduler=address, name="worker", **cluster_options(site))
    return str(job.job_script())
