"""`scripts/simulate_cluster`: what the orchestration of a run costs on many workers, without the workers."""

import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict, Unpack

import click
from simulated_cluster.hosts import simulated_cluster
from simulated_cluster.measure import Figures, measured_run, planned
from simulated_cluster.sizes import Sizes, prepared_run, write_files
from simulated_cluster.work import SimulatedWork


class Options(TypedDict):
    """The options of the command, by name."""

    triples: int
    workers: int
    tests: int
    top_k: int
    embedding_dim: int
    triples_per_second: float | None
    spread: float
    test_bytes: int
    task_rows: int | None
    processes: int
    output: Path | None
    files: Path | None


_COUNT = click.IntRange(min=1)


@click.command(context_settings={"show_default": True, "max_content_width": 110})
@click.option("--triples", type=_COUNT, default=10_000_000, help="Training triples.")
@click.option("--workers", type=_COUNT, default=100, help="Simulated workers, of one thread each.")
@click.option("--tests", type=_COUNT, default=16, help="Test triples.")
@click.option("--top-k", type=_COUNT, default=10, help="Entries per test triple; outcomes have their real size.")
@click.option("--embedding-dim", type=_COUNT, default=200, help="Dimension of the model, for the plan.")
@click.option(
    "--triples-per-second",
    type=click.FloatRange(min=0, min_open=True),
    help="Training triples that a worker scores in a second, as measured; by default what the plan guesses.",
)
@click.option("--spread", type=click.FloatRange(0, 1, max_open=True), default=0.05, help="Tasks vary by this part.")
@click.option("--test-bytes", type=click.IntRange(min=0), default=100_000, help="Size of the broadcast test factors.")
@click.option("--task-rows", type=_COUNT, help="Triples of a task, instead of what the plan chooses.")
@click.option("--processes", type=_COUNT, default=4, help="Processes that share the simulated workers.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures as JSON, too.")
@click.option(
    "--files",
    type=click.Path(path_type=Path, file_okay=False),
    help="Only write graph.zarr, model.pt and test.txt of these sizes here, for `tracin-dask plan`; no row exists.",
)
def command(**options: Unpack[Options]) -> None:
    """Simulate a run on many workers on this machine, and measure what its orchestration costs.

    Scheduler, workers, client, plan and driver are real; only the scoring sleeps for the time that it would take and
    gives an outcome of real size. Everything shares this machine's CPUs, so look at the machine's CPU share: above
    0.9 or so, the figures are those of the machine and not of the scheduler.
    """
    if options["files"] is not None:
        options["files"].mkdir(parents=True)
        write_files(_sizes(options), options["files"])
        return
    with tempfile.TemporaryDirectory() as name:
        figures = simulate(options, Path(name))
    show(figures)
    if options["output"] is not None:
        options["output"].write_text(json.dumps(statement(figures), indent=2) + "\n")


def simulate(options: Options, folder: Path) -> Figures:
    """Make the run and the cluster, and measure the one on the other."""
    prepared = prepared_run(_sizes(options), folder)
    plan = planned(prepared, options["workers"], options["task_rows"])
    work = SimulatedWork(
        triples_per_second=options["triples_per_second"] or plan.num_triples / plan.worker_seconds,
        spread=options["spread"],
        test_bytes=options["test_bytes"],
    )
    num_processes = min(options["processes"], options["workers"])
    started = time.perf_counter()
    with simulated_cluster(options["workers"], num_processes, folder) as cluster:
        click.echo(f"{options['workers']} workers started in {time.perf_counter() - started:.1f} s", err=True)
        return measured_run(prepared, plan, work, cluster, folder)


def _sizes(options: Options) -> Sizes:
    return Sizes(
        num_triples=options["triples"],
        num_tests=options["tests"],
        top_k=options["top_k"],
        embedding_dim=options["embedding_dim"],
    )


def statement(figures: Figures) -> dict[str, float]:
    """Put everything measured and derived under its name."""
    derived = {name: getattr(figures, name) for name in ("ideal_seconds", "overhead", "scheduler_cpu_share")}
    return asdict(figures) | derived | {"machine_cpus": os.cpu_count() or 1}


def show(figures: Figures) -> None:
    """Print the figures one under the other."""
    for name, value in statement(figures).items():
        click.echo(f"{name.replace('_', ' '):<28} {value:>18,.6g}")


if __name__ == "__main__":
    command()
