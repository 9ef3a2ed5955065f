"""`tracin-dask cluster`: write, show and try specifications of clusters."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracin_dask.clusters import spec as kinds
from tracin_dask.clusters.open import LocalSizes, described, open_cluster
from tracin_dask.clusters.templates import template
from tracin_dask.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from tracin_dask.runs.check import CheckedWorker

CHECK = "tracin_dask.runs.check"
"""The module of what workers do in a check."""
GIB = 2**30


@click.group()
def command() -> None:
    """Write a specification of a cluster to edit, show what it would start, and try it out."""


@command.command()
@click.argument("kind", type=click.Choice(list(kinds.KINDS)))
@click.option("--output", type=click.Path(path_type=Path), help="The file to write. [default: KIND.yaml]")
def init(kind: str, output: Path | None) -> None:
    """Write a commented specification file of a kind of cluster, to be edited."""
    path = output or Path(f"{kind}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(kind))
    except FileExistsError:
        raise ConfigError(f"{path} is there already; --output writes another file") from None
    click.echo(f"wrote {path}: edit it, look at it with `tracin-dask cluster show {path}`, run with --cluster {path}")


@command.command()
@click.argument("spec")
def show(spec: str) -> None:
    """Print what a cluster specification would start or submit, without doing so.

    SPEC is what --cluster takes: auto, a kind, an address or a file.
    """
    click.echo(described(kinds.parse_spec(spec)))


@command.command()
@click.argument("spec")
def check(spec: str) -> None:
    """Start a cluster, let every worker score a small known graph, and stop it.

    Tells of each worker whether its influences are right, what its device is, and how fast products, memory and
    network are. SPEC is what --cluster takes: a kind, an address or a file.
    """
    from tracin_dask.resources import MEMORY_SHARE, cpu_count, memory_limit  # noqa: PLC0415 - the same
    from tracin_dask.runs.check import check_workers  # noqa: PLC0415 - torch is slow to import

    parsed = kinds.parse_spec(spec)
    stated = parsed if isinstance(parsed, kinds.LocalSpec) else kinds.LocalSpec()
    num_workers = stated.workers or cpu_count()
    memory = stated.memory_per_worker or int(MEMORY_SHARE * memory_limit() / num_workers)
    with open_cluster(parsed, LocalSizes(num_workers=num_workers, memory_bytes=memory), preload=[CHECK]) as client:
        if isinstance(parsed, kinds.SlurmSpec):
            client.wait_for_workers(parsed.num_workers, timeout=60 * parsed.wait_minutes)
        checked = []
        for worker in check_workers(client):
            click.echo(_line(worker))
            checked.append(worker)
    wrong = [worker for worker in checked if not worker.found.is_right]
    if wrong:
        raise ClusterError(
            f"{len(wrong)} of {len(checked)} worker(s) found other influences than the known ones; "
            "compare their PyTorch version, driver and device with the others'"
        )
    click.echo(f"{len(checked)} worker(s) found the known influences")


def _line(worker: "CheckedWorker") -> str:
    found = worker.found
    memory = "no memory limit" if worker.memory_bytes is None else f"{worker.memory_bytes / GIB:.1f} GiB"
    device_memory = "" if found.device_bytes is None else f" of {found.device_bytes / GIB:.1f} GiB"
    return (
        f"{worker.address} on {found.host}: {found.device}{device_memory}, {found.threads} thread(s), {memory}; "
        f"products {found.product_gflops:,.0f} GFLOP/s, copies {found.copy_gigabytes_per_second:,.1f} GB/s, "
        f"network {worker.network_megabytes_per_second:,.0f} MB/s; "
        f"influences {'right' if found.is_right else 'WRONG'} (off by {found.deviation:.0e})"
    )
