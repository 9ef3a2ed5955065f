"""What every process of a job does that `tracin-dask submit` wrote: `srun` starts this module once per process.

The first becomes the scheduler, the second runs `tracin-dask run` as its client, the others become workers.
"""

import sys
from pathlib import Path

import yaml

from tracin_dask.cli.main import call
from tracin_dask.clusters.allocation import runner_options
from tracin_dask.clusters.slurm import jobqueue
from tracin_dask.clusters.spec import SlurmSpec, parse_spec
from tracin_dask.errors import ClusterError
from tracin_dask.runs import TASKS

WAIT_MINUTES = 5
"""How long the processes of a job may take to start."""


def main() -> None:
    """Take a part in the job; only the client's part returns, with the exit code of the run."""
    spec_path, *words = sys.argv[1:]
    spec = parse_spec(spec_path)
    if not isinstance(spec, SlurmSpec):
        raise ClusterError(f"{spec_path} is no specification of Slurm any more")
    Path(spec.logs).mkdir(parents=True, exist_ok=True)
    with jobqueue().slurm.SLURMRunner(**runner_options(spec, preload=[TASKS])) as runner:
        there = Path(spec.logs) / f"cluster-{runner.job_id}.yaml"
        there.write_text(yaml.safe_dump(running(spec, runner.scheduler_address)))
        call(["run", "--threads-per-worker", str(spec.threads_per_worker), *words, "--cluster", str(there)])


def running(spec: SlurmSpec, address: str) -> dict[str, object]:
    """Describe the job's cluster, now that it runs, as a specification file does."""
    return {
        "kind": "address",
        "address": address,
        "workers": spec.num_workers,
        "wait_minutes": WAIT_MINUTES,
        "device_memory_limit": spec.device_memory_limit,
    }


if __name__ == "__main__":
    main()
