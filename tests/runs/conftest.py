"""The small graph, its checkpoint, its runs, and one Dask cluster of two worker processes."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parent))  # last: `conftest` is the one of all rooms

from distributed import Client
from small_graph import (
    BATCH_SIZE,
    ONE_THREAD,
    Graph,
    Job,
    MakeJob,
    Truth,
    ask_oracle,
    ingest_graph,
    local_client,
    save_checkpoint,
    small_model,
    write_graph,
)

from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.resources import Resources
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.plan.plan import make_plan
from tracin_dask.runs.prepare import prepare


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from threads that wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    folder = tmp_path_factory.mktemp("graph")
    lines = write_graph(folder)
    return Graph(folder=folder, store=ingest_graph(folder, folder / "graph.zarr"), lines=lines)


@pytest.fixture(scope="session")
def checkpoint(graph: Graph) -> Checkpoint:
    return load_checkpoint(save_checkpoint(graph.folder / "best_model.pt", small_model()))


@pytest.fixture(scope="session")
def truth(graph: Graph, checkpoint: Checkpoint) -> Truth:
    return ask_oracle(graph, checkpoint)


@pytest.fixture(scope="session")
def make_job(graph: Graph, checkpoint: Checkpoint) -> MakeJob:
    """Plan a run on one thread per worker, so that bits can be compared, in batches that leave something to cut."""

    def make(
        *,
        tests: Any = None,
        model: Checkpoint | Sequence[Checkpoint] = checkpoint,
        resources: Resources = ONE_THREAD,
        **options: Any,
    ) -> Job:
        config = RunConfig.of(**({"top_k": 20, "batch_size": BATCH_SIZE, "audit": 1} | options))
        if config.question.mode == "test" and tests is None:
            tests = graph.test_triples
        prepared = prepare(graph.store, model, tests, config=config)
        return Job(prepared=prepared, plan=make_plan(prepared.model_config, prepared.workload, config, resources))

    return make


@pytest.fixture(scope="session")
def two_workers() -> Iterator[Client]:
    with local_client(2) as client:
        yield client


@pytest.fixture
def client(two_workers: Client) -> Client:
    """Give the shared cluster once all its workers are there; a test before may have killed one."""
    two_workers.wait_for_workers(2, timeout=60)
    return two_workers
