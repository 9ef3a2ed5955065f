"""A whole run in one Slurm job: scheduler, client and workers are the processes of one `srun`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.clusters.sbatch import sbatch
from tracin_dask.clusters.slurm import Slurm
from tracin_dask.errors import ConfigError

PROGRAM = "tracin_dask.cli.allocation"
"""The module that every process of the job runs."""
NUM_HELPERS = 2
"""Processes that score nothing: the scheduler and the client."""
WORKERS_SHARE = 0.8
"""Part of the memory of a job that its workers may use; the rest is for the scheduler and the client."""


def read_site(path: Path | str) -> Slurm:
    """Read the specification file of a Slurm site.

    Raises
    ------
    ConfigError
        If it cannot be read, or is of another kind.
    """
    site = parse_cluster(str(path))
    if not isinstance(site, Slurm):
        raise ConfigError(
            f"{path} is not of kind slurm or kubernetes; `tracin-dask cluster init slurm` writes such a file"
        )
    if site.tls_cert is not None:
        raise ConfigError(f"{path}: tls_cert: a run in one job has no certificates; leave them out, or use --cluster")
    return site


def batch_script(site: Slurm, spec_path: Path, words: Sequence[str]) -> str:
    """Give the script for `sbatch` of a run with these words of `tracin-dask run`.

    Slurm distributes the processes over the nodes in turn, so that after the scheduler and the client every node gets
    the same number of workers. On nodes with GPUs one process starts a worker per GPU.
    """
    directives = [
        "--job-name=tracin-dask",
        f"--nodes={site.jobs}",
        f"--ntasks={site.jobs}",
        f"--cpus-per-task={site.cpus_per_job}",
        *site.memory_directives,
        f"--time={site.walltime}",
        f"--output={site.logs}/run-%j.log",
        *([f"--partition={site.queue}"] if site.queue else []),
        *([f"--account={site.account}"] if site.account else []),
        *site.node_directives,
        *site.directives,
    ]
    num_processes = NUM_HELPERS + site.jobs * processes_per_node(site)
    srun = f"srun --overcommit --ntasks={num_processes} --distribution=cyclic --cpu-bind=none --kill-on-bad-exit=1"
    program = [site.python or sys.executable, "-m", PROGRAM, str(spec_path), *words]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {directive}" for directive in directives),
        "set -e",
        *site.setup,
        f"# a scheduler, the run itself, and {num_processes - NUM_HELPERS} process(es) that start workers",
        f"exec {srun} {shlex.join(program)}",
    ]
    return "\n".join(lines) + "\n"


def processes_per_node(site: Slurm) -> int:
    """Count the processes of a node that start workers."""
    return 1 if site.gpus_per_job else site.num_workers_per_job


def runner_options(site: Slurm, preload: Sequence[str] = ()) -> dict[str, Any]:
    """Give the arguments of `dask_jobqueue.slurm.SLURMRunner`."""
    worker: dict[str, Any] = site.listen | {
        "memory_limit": int(WORKERS_SHARE * site.memory_per_job / site.num_workers_per_job)
    }
    if site.scratch:
        worker["local_directory"] = site.scratch
    if site.gpus_per_job:
        worker |= {"device_memory_limit": site.device_memory_limit, "pre_import": ",".join(preload)}
    else:
        worker |= {"nthreads": 1, "preload": list(preload)}
    return {
        "scheduler_file": f"{site.logs}/scheduler-{{job_id}}.json",
        "scheduler_options": site.scheduler_listen | {"dashboard_address": site.dashboard_address},
        "worker_class": "dask_cuda.CUDAWorker" if site.gpus_per_job else "distributed.Nanny",
        "worker_options": worker,
    }


def submit(script: Path) -> int:
    """Submit a script and give the number of its job; raises as `sbatch`."""
    return int(sbatch(script, "--parsable").split(";")[0])
