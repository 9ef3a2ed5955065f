"""`tracin-dask cluster`: write, show and try specifications of clusters."""

from pathlib import Path

import click

from tracin_dask.cli.options.values import LocalPath
from tracin_dask.cli.say import say
from tracin_dask.clusters.kinds import KINDS
from tracin_dask.clusters.templates import template
from tracin_dask.errors import ConfigError


@click.group()
def command() -> None:
    """Write a specification of a cluster to edit, show what it would start, and try it out."""


@command.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--output", "-o", type=LocalPath(path_type=Path), help="The file to write. [default: KIND.yaml]")
def init(kind: str, output: Path | None) -> None:
    """Write a commented specification file of a kind of cluster, for you to edit.

    \b
    Examples:
      tracin-dask cluster init slurm
      tracin-dask cluster init kubernetes --output pods.yaml
    """
    path = output or Path(f"{kind}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(kind))
    except FileExistsError:
        raise ConfigError(f"{path} exists already; --output writes another file") from None
    say(f"wrote {path}: edit it, look at it with `tracin-dask cluster show {path}`, run with --cluster {path}")


@command.command()
@click.argument("spec")
def show(spec: str) -> None:
    """Print what a cluster specification would start or submit, without doing so.

    SPEC is a value of --cluster: auto, a kind, an address or a file.

    \b
    Examples:
      tracin-dask cluster show auto
      tracin-dask cluster show slurm.yaml
    """
    from tracin_dask.clusters.parse import parse_cluster  # noqa: PLC0415 - Dask is slow to import

    say(parse_cluster(spec).describe())


@command.command()
@click.argument("spec")
def check(spec: str) -> None:
    """Start a cluster, let every worker score a small known graph, and stop it.

    Says of each worker whether its influences are right, which device it has, and how fast products, memory and
    network are. SPEC is a value of --cluster: a kind, an address or a file.

    \b
    Examples:
      tracin-dask cluster check local
      tracin-dask cluster check slurm.yaml
    """
    from tracin_dask.cli.actions.check import check_cluster  # noqa: PLC0415 - torch is slow to import

    check_cluster(spec)
