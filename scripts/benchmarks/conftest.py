"""What the sections share: the settings of the run, the graph, and where figures go."""

from collections.abc import Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.settings import SETTINGS, Settings
from benchmarks.workloads import Graph, SyntheticGraph, engine_graph, synthetic_graph


@pytest.fixture(scope="session")
def settings(pytestconfig: pytest.Config) -> Settings:
    """Give what the command line asked for."""
    return pytestconfig.stash[SETTINGS]


@pytest.fixture(scope="session")
def graph(settings: Settings) -> Graph:
    """Give the graph of the engine's section."""
    return engine_graph(settings, settings.scratch / "engine")


@pytest.fixture(scope="session")
def synthetic(settings: Settings) -> SyntheticGraph:
    """Give the large synthetic graph."""
    return synthetic_graph(settings)


@pytest.fixture(autouse=True)
def _threads(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)


@pytest.fixture
def collect(benchmark: BenchmarkFixture) -> Iterator[Collector]:
    """Gather figures, which become part of the benchmark's record."""
    collector = Collector()
    yield collector
    benchmark.extra_info.update(collector.as_dict())
