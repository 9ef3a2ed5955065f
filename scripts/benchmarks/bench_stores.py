"""Section stores: how much of an object store's latency a run feels, on a server of this machine.

Each request to the server waits as long as to a store that is far away. What is read is compared with the same store in
the file system: rows at the pace of an engine, which is stood for by a pause after each block, the whole command, and
what is written: a folder of answers.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from loopback_store import Proxy, environment, proxy_to, s3_server
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.figures import Collector
from benchmarks.processes import Measured, run_measured, tracin_dask
from benchmarks.settings import Settings
from benchmarks.workloads import Graph
from tracin_dask import InfluenceResult, RunConfig, read_result, run
from tracin_dask.places.files import write_bytes
from tracin_dask.runs.plan.memory import READ_ROWS as BLOCK_ROWS
from tracin_dask.runs.plan.memory import blocks_ahead
from tracin_dask.runs.work.rows.stream import read_ahead
from tracin_dask.triples.ingest import ingest
from tracin_dask.triples.store import TripleStore, open_store

LATENCY_SECONDS = 0.1
BUCKET = "s3://benchmark"
PACE = 2_000_000
"""Training triples per second that an engine takes."""
READ_ROWS, QUICK_READ_ROWS = 3_000_000, 600_000
ANSWERS = 661
"""As many as UMLS has test triples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """A graph in the file system and at a server, and the proxy before it."""

    graph: Graph
    long: TripleStore
    """Enough rows that reading them takes a while."""
    proxy: Proxy
    settings: Settings


@pytest.fixture(scope="module")
def places(graph: Graph, settings: Settings) -> Iterator[Places]:
    """Give a server with the store and the checkpoint of the graph."""
    log = settings.scratch / "server.log"
    with s3_server(log, "benchmark") as port, proxy_to(port) as proxy, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(proxy.port).items():
            patch.setenv(name, value)
        long = _long_store(settings)
        _copy(Path(graph.store.path), "graph.zarr")
        _copy(Path(long.path), "long.zarr")
        write_bytes(f"{BUCKET}/model.pt", Path(graph.checkpoint.path).read_bytes())
        proxy.latency_seconds = LATENCY_SECONDS
        yield Places(graph=graph, long=long, proxy=proxy, settings=settings)


@pytest.fixture(scope="module")
def result(graph: Graph) -> InfluenceResult:
    """Give the answers of many test triples."""
    config = RunConfig.of(parameters=("fc.bias",), top_k=100)  # cheap: what they say does not matter
    return run(graph.store, graph.checkpoint, graph.tests(ANSWERS), config=config)


def _long_store(settings: Settings) -> TripleStore:
    """Make a store of random triples."""
    num_rows = QUICK_READ_ROWS if settings.is_quick else READ_ROWS
    ids = np.random.default_rng(0).integers((100_000, 100, 100_000), size=(num_rows, 3))
    text = settings.scratch / "long.txt"
    with text.open("w") as file:
        file.writelines(f"e{head}\tr{relation}\te{tail}\n" for head, relation, tail in ids.tolist())
    return ingest(text, settings.scratch / "long.zarr")


def _copy(folder: Path, name: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            write_bytes(f"{BUCKET}/{name}/{path.relative_to(folder)}", path.read_bytes())


@pytest.mark.parametrize("where", ["local", "far"])
def measure_reading(benchmark: BenchmarkFixture, collect: Collector, places: Places, where: str) -> None:
    """Read all rows at the pace of an engine."""
    opened, seconds = list[float](), list[float]()
    url = f"{BUCKET}/long.zarr" if where == "far" else places.long.path

    def read() -> None:
        started = time.perf_counter()
        store = open_store(url)
        opened.append(time.perf_counter() - started)
        _read(store)
        seconds.append(time.perf_counter() - started - opened[-1])

    benchmark.pedantic(read, rounds=places.settings.repeats)
    collect.figure(f"stores.opening.{where}", f"a store is opened: {_place(where)}", "s", opened)
    title = f"{len(places.long):,} rows at {PACE:,} rows/s"
    collect.figure(f"stores.reading.{where}", f"{title}: {_place(where)}", "s", seconds)


@pytest.mark.parametrize("where", ["local", "far"])
def measure_run(benchmark: BenchmarkFixture, collect: Collector, places: Places, where: str) -> None:
    """Explain one test triple from the shell; the store, the checkpoint and the result lie at the same place."""
    graph, settings = places.graph, places.settings
    folder = BUCKET if where == "far" else str(settings.scratch)
    store, model = graph.store.path, graph.checkpoint.path
    files = (f"{BUCKET}/model.pt", f"{BUCKET}/graph.zarr") if where == "far" else (model, store)
    ids = [str(part) for part in graph.tests(1)[0].tolist()]
    command = tracin_dask(
        *("run", "--model-path", files[0], "--train", files[1], "--threads-per-worker", settings.threads),
        *("--test-triple", *ids, "--output", f"{folder}/why.json", "--ids", "--restart"),
    )
    rounds: list[Measured] = []
    benchmark.pedantic(lambda: rounds.append(run_measured(command)), rounds=settings.repeats)
    title = f"the whole command, {len(graph.store):,} training triples"
    collect.figure(f"stores.run.{where}", f"{title}: {_place(where)}", "s", [done.seconds for done in rounds])


@pytest.mark.parametrize("where", ["local", "far"])
def measure_answers(
    benchmark: BenchmarkFixture, collect: Collector, places: Places, result: InfluenceResult, where: str
) -> None:
    """Write a folder with a file per test triple, and read it."""
    written, read = list[float](), list[float]()
    folder = f"{BUCKET}/answers" if where == "far" else places.settings.scratch / "answers"

    def write_and_read() -> None:
        started = time.perf_counter()
        result.write_directory(folder, overwrite=True)
        written.append(time.perf_counter() - started)
        read_result(folder)
        read.append(time.perf_counter() - started - written[-1])

    benchmark.pedantic(write_and_read, rounds=places.settings.repeats)
    title = f"answers of {ANSWERS} test triples"
    collect.figure(f"stores.answers.written.{where}", f"{title}, written: {_place(where)}", "s", written)
    collect.figure(f"stores.answers.read.{where}", f"{title}, read: {_place(where)}", "s", read)


def _place(where: str) -> str:
    return f"S3, {LATENCY_SECONDS * 1000:.0f} ms per request" if where == "far" else "files"


def _read(store: TripleStore) -> None:
    ahead = blocks_ahead(BLOCK_ROWS, is_far=store.is_far)
    for block in read_ahead(store.read, (0, len(store)), BLOCK_ROWS, ahead):
        time.sleep(len(block) / PACE)
