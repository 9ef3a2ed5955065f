"""Section dask: what Dask takes of a run, and what a second process gives, with Dask and without."""

from collections.abc import Sequence

import dask_share
import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.score_once import ScoreOnce
from benchmarks.settings import Settings
from benchmarks.workloads import Graph

MOST_ROUNDS = 3
WORKERS, PROCESSES = "workers of a Dask cluster", "independent processes"


def measure_dask_and_a_second_process(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings
) -> None:
    """Take turns: one process in a loop, one worker, two workers, two processes that know nothing of each other."""
    sizes = settings.sizes
    tests = settings.scratch / "dask_tests.npy"
    np.save(tests, graph.tests(sizes.dask_tests))
    job = ScoreOnce(
        store=graph.store.path,
        model=str(graph.checkpoint.path),
        tests=str(tests),
        rows=min(sizes.dask_rows, len(graph.store)),
        threads=1,
    )
    rounds = min(settings.repeats, MOST_ROUNDS)
    found = benchmark.pedantic(lambda: dask_share.measure_dask_share(job, settings.scratch, rounds=rounds), rounds=1)
    about = f"T = {sizes.dask_tests:,}, one thread each"
    collect.figure("dask.loop", f"{about}: one process without Dask", "s", found.loop_seconds)
    collect.figure("dask.share", f"{about}: one worker takes longer by, as a part", "", found.shares)
    two = _ratios(found.one_worker_seconds, found.two_workers_seconds)
    collect.figure("dask.two_workers", f"{about}: two workers / one", "×", two)
    two = [2 * ratio for ratio in _ratios(found.loop_seconds, found.two_processes_seconds)]
    collect.figure("dask.two_processes", f"{about}: two independent processes / one", "×", two)
    _add_curves(collect, job.rows, found)


def _add_curves(collect: Collector, rows: int, found: dask_share.DaskShare) -> None:
    """Put training triples a second against processes; each independent process scores all rows."""
    seconds = {
        WORKERS: {1: found.one_worker_seconds, 2: found.two_workers_seconds},
        PROCESSES: {1: found.loop_seconds, 2: [half / 2 for half in found.two_processes_seconds]},
    }
    for who, by_number in seconds.items():
        collect.curve("workers", who, {number: [rows / value for value in of] for number, of in by_number.items()})


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [first / second for first, second in zip(above, below, strict=True)]
