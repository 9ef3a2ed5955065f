"""`tracin-dask submit`: a whole run as one job of Slurm."""

from datetime import UTC, datetime
from pathlib import Path

import click

from tracin_dask.cli.run import command as run
from tracin_dask.clusters.allocation import batch_script
from tracin_dask.clusters.allocation import submit as hand_over
from tracin_dask.clusters.spec import SlurmSpec, parse_spec
from tracin_dask.errors import ConfigError


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, no_args_is_help=True
)
@click.option("--dry-run", is_flag=True, help="Print the job's script instead of submitting it.")
@click.argument("spec", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="RUN-OPTIONS...")
def command(spec: Path, words: tuple[str, ...], *, dry_run: bool) -> None:
    """Submit a whole run to Slurm as one job, which needs no other process to go on.

    SPEC is a file of kind slurm (`tracin-dask cluster init slurm`): `jobs` is the number of nodes. RUN-OPTIONS are
    those of `tracin-dask run`, without --cluster. Paths are seen from the folder where this is called.

    A run that was cut off, by its walltime for instance, goes on where it stopped when the same command is given again.

    \b
    Example:
      tracin-dask submit slurm.yaml --model-path model.pt --train graph.zarr
          --test test.txt --output-dir why/
    """
    site = parse_spec(str(spec))
    if not isinstance(site, SlurmSpec):
        raise ConfigError(f"{spec} is not of kind slurm; `tracin-dask cluster init slurm` writes such a file")
    if any(word == "--cluster" or word.startswith("--cluster=") for word in words):
        raise ConfigError(f"submit runs on the workers of {spec}; leave --cluster out")
    run.make_context(f"tracin-dask submit {spec}", list(words))  # refuse wrong options now, not when the job starts
    script = batch_script(site, spec.absolute(), words)
    if dry_run:
        click.echo(script, nl=False)
        return
    logs = Path(site.logs)
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"run-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.sh"
    path.write_text(script, encoding="utf-8")
    job = hand_over(path)
    click.echo(
        f"submitted job {job}: {site.jobs} node(s) for at most {site.walltime}; its script is {path}\n"
        f"  state   squeue --jobs {job}\n"
        f"  output  tail -F {logs}/run-{job}.log    (names the dashboard, and the way to it)\n"
        f"  stop    scancel {job}\n"
        "If it is cut off, the same command goes on where it stopped."
    )
