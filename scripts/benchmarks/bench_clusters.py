"""Section clusters: how long each kind of cluster takes to start, until all its workers have answered."""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.processes import collected_json, module_command, start
from benchmarks.settings import SETTINGS, Settings


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Measure each specification that the command line names."""
    metafunc.parametrize("spec", metafunc.config.stash[SETTINGS].clusters)


def measure_start(benchmark: BenchmarkFixture, collect: Collector, settings: Settings, spec: str) -> None:
    """Start it in a process of its own, workers' imports included."""
    command = module_command("benchmarks.start_cluster", spec)
    found = []
    benchmark.pedantic(lambda: found.extend(collected_json([start(command)])), rounds=settings.repeats)
    name = Path(spec).stem
    title = f"{name}: {found[0]['workers']} worker(s) started"
    collect.figure(f"clusters.{name}", title, "s", [entry["seconds"] for entry in found])
