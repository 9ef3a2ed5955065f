"""Section start: what a user waits for before anything is computed, from the shell, imports included."""

import sys

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.processes import Measured, run_measured, tracin_dask
from benchmarks.settings import Settings
from benchmarks.workloads import Graph, first_lines, graph_of


@pytest.fixture(scope="module")
def small(graph: Graph, settings: Settings) -> Graph:
    """Give a store of the first lines of the engine's graph."""
    text = first_lines(graph.text, settings.scratch / "start" / "train.txt", settings.sizes.start_rows)
    return graph_of(f"the first lines of {graph.name}", text, settings.sizes)


def measure_first_result(benchmark: BenchmarkFixture, collect: Collector, small: Graph, settings: Settings) -> None:
    """Explain one test triple on a small store."""
    head, relation, tail = (str(part) for part in small.tests(1)[0].tolist())
    output = settings.scratch / "start" / "why.json"
    command = tracin_dask(
        *("run", "--model-path", small.checkpoint.path, "--train", small.store.path),
        *("--test-triple", head, relation, tail, "--output", output, "--restart"),
    )
    seconds = _seconds(benchmark, command, settings)
    rows = f"{len(small.store):,} training triples, dimension {small.checkpoint.config.embedding_dim}"
    collect.figure("start.first_result", f"first result on a store of {rows}", "s", seconds)


def measure_help(benchmark: BenchmarkFixture, collect: Collector, settings: Settings) -> None:
    """Ask the command for help."""
    collect.figure("start.help", "tracin-dask --help", "s", _seconds(benchmark, tracin_dask("--help"), settings))


@pytest.mark.parametrize("code", ["pass", "import tracin_dask", "from tracin_dask import run"])
def measure_import(benchmark: BenchmarkFixture, collect: Collector, settings: Settings, code: str) -> None:
    """Start Python and import."""
    seconds = _seconds(benchmark, [sys.executable, "-P", "-c", code], settings)
    collect.figure(f"start.{code.replace(' ', '_')}", f"python -c '{code}'", "s", seconds)


def _seconds(benchmark: BenchmarkFixture, command: list[str], settings: Settings) -> list[float]:
    rounds: list[Measured] = []
    benchmark.pedantic(lambda: rounds.append(run_measured(command)), rounds=settings.repeats, warmup_rounds=1)
    return [done.seconds for done in rounds[1:]]
