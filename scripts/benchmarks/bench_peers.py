"""Section peers: other libraries on the model and the triples of the engine's section, the engine on the same tensors.

A library that cannot track all parameters is compared with the engine tracking what it tracks. Each library is
installed in an environment of its own; docs/peers.md says how.
"""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from bench_peers import PEERS
from bench_peers.measure import Measured, installed, measure
from bench_peers.timing import Timing
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.scoring import Scoring, scoring, timed_run
from benchmarks.settings import Settings
from benchmarks.workloads import Graph
from tracin_dask import RunConfig
from tracin_dask.runs.prepare import prepare

RUN_SECONDS, QUICK_RUN_SECONDS = 5.0, 1.0
MOST_ROWS = 65_536
"""Training triples that a peer draws from; in random order, as none of them sorts by head."""
NUMBERS_OF_TESTS = (1, 16, 256)
ALL = ("*",)
BYTES_PER_GB = 1e9


@pytest.fixture(scope="module")
def versions() -> Mapping[str, str | None]:
    """Ask which libraries are installed."""
    return installed()


@pytest.fixture(params=itertools.product(PEERS, NUMBERS_OF_TESTS), ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest, versions: Mapping[str, str | None]) -> tuple[str, int]:
    """Give a peer that is installed, and a number of test triples."""
    key, num_tests = request.param
    if versions[key] is None:
        pytest.skip(f"{PEERS[key].name} is not installed ({PEERS[key].requirement})")
    return key, num_tests


def measure_a_peer(
    benchmark: BenchmarkFixture, collect: Collector, graph: Graph, settings: Settings, case: tuple[str, int]
) -> None:
    """Run the engine on what the peer tracks, the peer in a process of its own, and the engine again."""
    key, num_tests = case
    tests = graph.tests(num_tests)
    job = _engine(graph, tests, PEERS[key].tracks, settings)
    train = torch.from_numpy(graph.tests(min(MOST_ROWS, len(graph.store))))
    timing = Timing(
        threads=settings.threads,
        seconds=QUICK_RUN_SECONDS if settings.is_quick else RUN_SECONDS,
        repeats=settings.repeats,
    )
    engine: list[float] = []

    def run_engine() -> None:
        engine.append(job.num_rows / timed_run(job, settings.device).seconds)

    def run_peer() -> Measured:
        return measure(key, graph.checkpoint.model, train=train, test=torch.from_numpy(tests), timing=timing)

    found = benchmark.pedantic(run_peer, setup=run_engine, rounds=1)
    run_engine()
    _add(collect, key, found, engine)
    collect.facts["embedding_dim"] = graph.checkpoint.config.embedding_dim


def _engine(graph: Graph, tests: NDArray[np.int64], tracks: Sequence[str], settings: Settings) -> Scoring:
    config = RunConfig.of(parameters=() if tuple(tracks) == ALL else tuple(tracks), top_k=100)
    prepared = prepare(graph.store, graph.checkpoint, tests, config=config)
    return scoring(prepared, rows=settings.sizes.rows[len(tests)], threads=settings.threads)


def _add(collect: Collector, key: str, found: Measured, engine: Sequence[float]) -> None:
    peer = PEERS[key]
    label = peer.name if peer.tracks == ALL else f"{peer.name} ({', '.join(peer.tracks)} only)"
    prefix = f"peers.t{found.num_tests}.{label}"
    title = f"T = {found.num_tests}: {label}, {found.version}"
    speeds = [found.rows_per_second_min, found.rows_per_second, found.rows_per_second_max]
    collect.figure(f"{prefix}.triples_per_second", title, "triples/s", speeds)
    ratios = [speed / found.rows_per_second for speed in engine]
    collect.figure(f"{prefix}.engine_ratio", f"{title}: engine on the same tensors / peer", "×", ratios)
    collect.figure(f"{prefix}.peak", f"{title}: peak memory of its process", "GB", [found.peak_bytes / BYTES_PER_GB])
