"""Carries out `tracin-dask submit`: writes the script of a job, submits it, and says how to follow it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from tracin_dask.cli.say import say
from tracin_dask.clusters.allocation import batch_script, read_site, submit


def submit_run(spec: Path, words: Sequence[str], *, dry_run: bool) -> None:
    """Submit a run with these words of `tracin-dask run`, or print the script of its job.

    Raises
    ------
    TracInDaskError
        If the file is not a specification of Slurm, or Slurm refuses the job.
    """
    site = read_site(spec)
    script = batch_script(site, spec.absolute(), words)
    if dry_run:
        click.echo(script, nl=False)  # as it is: a file for sbatch
        return
    logs = Path(site.logs)
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"run-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.sh"
    path.write_text(script, encoding="utf-8")
    job = submit(path)
    say(
        f"submitted job {job}: {site.jobs} node(s) for at most {site.walltime}; its script is {path}\n"
        f"  state   squeue --jobs {job}\n"
        f"  output  tail -F {logs}/run-{job}.log    (with the address of the dashboard and how to reach it)\n"
        f"  stop    scancel {job}\n"
        "If it is cut off, the same command continues it."
    )
