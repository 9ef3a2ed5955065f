"""A whole run in one Slurm job: scheduler, client and workers are the processes of one `srun`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracin_dask.clusters.sbatch import sbatch
from tracin_dask.clusters.spec import SlurmSpec

PROGRAM = "tracin_dask.cli.allocation"
"""What every process of the job runs."""
NUM_HELPERS = 2
"""Processes that score nothing: the scheduler and the client."""
WORKERS_SHARE = 0.8
"""Part of a job's memory that its workers may use; the rest is the scheduler's and the client's."""


def batch_script(spec: SlurmSpec, spec_path: Path, words: Sequence[str]) -> str:
    """Give the script for `sbatch` of a run with these words of `tracin-dask run`.

    Slurm deals the processes out to the nodes in turn, so that after the scheduler and the client every node gets the
    same number of workers. On nodes with GPUs one process starts a worker per GPU.
    """
    directives = [
        "--job-name=tracin-dask",
        f"--nodes={spec.jobs}",
        f"--ntasks={spec.jobs}",
        f"--cpus-per-task={spec.cpus_per_job}",
        f"--mem={spec.memory_per_job // 2**20}M",
        f"--time={spec.walltime}",
        f"--output={spec.logs}/run-%j.log",
        *([f"--partition={spec.queue}"] if spec.queue else []),
        *([f"--account={spec.account}"] if spec.account else []),
        *([f"--gres=gpu:{spec.gpus_per_job}"] if spec.gpus_per_job else []),
        *spec.directives,
    ]
    num_processes = NUM_HELPERS + spec.jobs * processes_per_node(spec)
    srun = f"srun --overcommit --ntasks={num_processes} --distribution=cyclic --cpu-bind=none --kill-on-bad-exit=1"
    program = [spec.python or sys.executable, "-m", PROGRAM, str(spec_path), *words]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {directive}" for directive in directives),
        "set -e",
        *spec.setup,
        f"# a scheduler, the run itself, and {num_processes - NUM_HELPERS} process(es) that start workers",
        f"exec {srun} {shlex.join(program)}",
    ]
    return "\n".join(lines) + "\n"


def processes_per_node(spec: SlurmSpec) -> int:
    """Count the processes of a node that start workers."""
    return 1 if spec.gpus_per_job else spec.num_workers_per_job


def runner_options(spec: SlurmSpec, preload: Sequence[str] = ()) -> dict[str, Any]:
    """Give the arguments of `dask_jobqueue.slurm.SLURMRunner`."""
    listen = {"interface": spec.interface} if spec.interface else {"host": spec.host} if spec.host else {}
    worker: dict[str, Any] = listen | {
        "memory_limit": int(WORKERS_SHARE * spec.memory_per_job / spec.num_workers_per_job)
    }
    if spec.scratch:
        worker["local_directory"] = spec.scratch
    if spec.gpus_per_job:
        worker |= {"device_memory_limit": spec.device_memory_limit, "pre_import": ",".join(preload)}
    else:
        worker |= {"nthreads": 1, "preload": list(preload)}
    return {
        "scheduler_file": f"{spec.logs}/scheduler-{{job_id}}.json",
        "scheduler_options": listen | {"dashboard_address": ":8787"},
        "worker_class": "dask_cuda.CUDAWorker" if spec.gpus_per_job else "distributed.Nanny",
        "worker_options": worker,
    }


def submit(script: Path) -> int:
    """Hand a script to Slurm; gives the job's number, or raises as `sbatch`."""
    return int(sbatch(script, "--parsable").split(";")[0])
