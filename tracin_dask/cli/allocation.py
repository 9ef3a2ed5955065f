"""The program of every process in a job of `tracin-dask submit`: `srun` starts this module once per process.

The first becomes the scheduler, the second runs `tracin-dask run` as its client, the others become workers.
"""

import sys
from pathlib import Path

import yaml

from tracin_dask.cli.main import call
from tracin_dask.clusters.allocation import read_site, runner_options
from tracin_dask.clusters.job_options import jobqueue
from tracin_dask.clusters.slurm import Slurm
from tracin_dask.runs import TASKS

WAIT_MINUTES = 5
"""How long the processes of a job may take to start."""


def main() -> None:
    """Take a part in the job; only the client returns, with the exit code of the run."""
    path, *words = sys.argv[1:]
    site = read_site(path)
    Path(site.logs).mkdir(parents=True, exist_ok=True)
    with jobqueue(site.title).slurm.SLURMRunner(**runner_options(site, preload=[TASKS])) as runner:
        there = Path(site.logs) / f"cluster-{runner.job_id}.yaml"
        there.write_text(yaml.safe_dump(running(site, runner.scheduler_address)))
        call(["run", "--threads-per-worker", str(site.threads_per_worker), *words, "--cluster", str(there)])


def running(site: Slurm, address: str) -> dict[str, object]:
    """Describe the running cluster of the job, as a specification file does."""
    return {
        "kind": "address",
        "address": address,
        "workers": site.num_workers,
        "wait_minutes": WAIT_MINUTES,
        "device_memory_limit": site.device_memory_limit,
    }


if __name__ == "__main__":
    main()
