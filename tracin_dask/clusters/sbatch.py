"""Calls `sbatch` of Slurm."""

import subprocess
from pathlib import Path

from tracin_dask.errors import ClusterError


def sbatch(script: Path, *options: str) -> str:
    """Submit a script and give the answer of Slurm.

    Raises
    ------
    ClusterError
        If there is no Slurm here, or it refuses the job.
    """
    command = ["sbatch", *options, str(script)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own script
    except OSError as error:
        raise ClusterError(f"sbatch cannot be called ({error.strerror}); submit from a login node of Slurm") from error
    if answer.returncode != 0:
        raise ClusterError(f"Slurm refuses the job: {answer.stderr.strip()} (script: {script})")
    return answer.stdout
