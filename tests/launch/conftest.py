"""The small graph of the runs and its checkpoint."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "runs"))  # last: `conftest` is the one of all rooms
sys.path.append(str(Path(__file__).parent))

from small_graph import Graph, ingest_graph, save_checkpoint, small_model, write_graph

from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    folder = tmp_path_factory.mktemp("graph")
    lines = write_graph(folder)
    return Graph(folder=folder, store=ingest_graph(folder, folder / "graph.zarr"), lines=lines)


@pytest.fixture(scope="session")
def checkpoint(graph: Graph) -> Checkpoint:
    return load_checkpoint(save_checkpoint(graph.folder / "best_model.pt", small_model()))
