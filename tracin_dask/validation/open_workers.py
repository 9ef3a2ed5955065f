"""Starts or reaches the workers of a study."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tracin_dask.clusters.auto import Auto
from tracin_dask.clusters.cluster import Cluster, Start
from tracin_dask.resources import Machine, Resources, WorkerOptions, this_machine
from tracin_dask.runs import TASKS
from tracin_dask.types import Progress
from tracin_dask.validation.workers import Workers, no_progress, say_nothing


@contextmanager
def open_workers(
    cluster: Cluster,
    asked: WorkerOptions,
    *,
    wants_cpus: bool = False,
    progress: Progress = no_progress,
    say: Callable[[str], None] = say_nothing,
) -> Iterator[Workers]:
    """Give the workers until the block ends; `auto` with a single worker on CPUs is this process.

    Raises
    ------
    ClusterError
        If the cluster cannot be started or reached.
    ConfigError
        If it cannot have the workers that are asked for.
    """
    machine = this_machine()
    chosen = cluster
    if cluster == Auto():
        chosen = Auto().choice(machine, wants_cpus=wants_cpus or asked.workers is not None)
    expected = _expected(chosen, asked, machine)
    if cluster == Auto() and expected is not None and expected.num_workers == 1:
        on_gpu = machine.num_gpus > 0 and not wants_cpus
        yield Workers(threads=expected.threads_per_worker, on_gpus=on_gpu, progress=progress, say=say)
        return
    say(f"waiting for workers on {chosen.title}")
    with chosen.open(Start(resources=expected, preload=(TASKS,))) as opened:
        found = asked.applied_to(opened.resources)
        say(f"{found.num_workers} worker(s) with {found.threads_per_worker} thread(s) each on {chosen.title}")
        yield Workers(
            client=opened.client,
            number=found.num_workers,
            threads=found.threads_per_worker,
            on_gpus=found.device_bytes is not None and not wants_cpus,
            progress=progress,
            say=say,
        )


def _expected(cluster: Cluster, asked: WorkerOptions, machine: Machine) -> Resources | None:
    """Give the workers that the cluster would have; None if only the running cluster knows them."""
    found = cluster.expected_resources(asked, machine)
    return found[0] if found else None
