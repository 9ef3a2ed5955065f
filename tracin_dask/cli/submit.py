"""`tracin-dask submit`: a whole run as one job of Slurm or Kubernetes."""

from pathlib import Path

import click

from tracin_dask.cli.options.values import STREAMS, LocalPath
from tracin_dask.cli.run import command as run
from tracin_dask.errors import ConfigError


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, no_args_is_help=True
)
@click.option("--dry-run", is_flag=True, help="Print the job's script or manifest instead of submitting it.")
@click.argument("spec", type=LocalPath(path_type=Path))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="RUN-OPTIONS...")
def command(spec: Path, words: tuple[str, ...], *, dry_run: bool) -> None:
    """Submit a whole run to Slurm or Kubernetes as one job, which needs no other process to go on.

    SPEC is a file of kind slurm (`tracin-dask cluster init slurm`), where `jobs` is the number of nodes, or of kind
    kubernetes. RUN-OPTIONS are those of `tracin-dask run`, without --cluster. Paths are seen from the folder where this
    is called, on Kubernetes from the pods.

    A run that was cut off, by its walltime for instance, goes on where it stopped when the same command is given again.

    \b
    Example:
      tracin-dask submit slurm.yaml --model-path model.pt --train graph.zarr \\
          --test test.txt --output-dir why/
    """
    if any(word == "--cluster" or word.startswith("--cluster=") for word in words):
        raise ConfigError(f"submit runs on the workers of {spec}; leave --cluster out")
    context = run.make_context(f"tracin-dask submit {spec}", list(words))  # refuse wrong options before the job starts
    for stream in context.meta.get(STREAMS, {}).values():
        raise ConfigError(f"{stream}: a job cannot read it; write it to a file")
    from tracin_dask.cli.actions.submit import submit_run  # noqa: PLC0415 - Dask is slow to import

    submit_run(spec, words, dry_run=dry_run)
