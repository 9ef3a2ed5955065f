"""A prepared run of any size without its data: a store whose rows are missing, a checkpoint, and test triples."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from simulated_cluster.sparse_store import sparse_store
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.prepare import PreparedRun, prepare
from tracin_dask.triples.store import TripleStore

NUM_ENTITIES, NUM_RELATIONS = 1_000, 20
IMAGE_HEIGHT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The numbers of a simulated run."""

    num_triples: int
    num_tests: int
    top_k: int
    embedding_dim: int


def prepared_run(sizes: Sizes, folder: Path) -> PreparedRun:
    """Prepare a run that has these sizes for the planner and for the driver; only its rows do not exist."""
    files = write_files(sizes, folder)
    config = RunConfig.of(top_k=sizes.top_k, device="cpu", audit=0)
    return prepare(
        files.store, load_conve(files.model), np.loadtxt(files.tests, dtype=np.int64, ndmin=2), config=config
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The inputs of a run without rows."""

    store: TripleStore
    model: Path
    tests: Path
    """Lines of ids."""


def write_files(sizes: Sizes, folder: Path) -> Files:
    """Write a store without rows, a checkpoint, and test triples."""
    counts = {"num_entities": NUM_ENTITIES, "num_relations": NUM_RELATIONS}
    random = np.random.default_rng(0)
    triples = random.integers((NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES), size=(sizes.num_tests, 3))
    np.savetxt(folder / "test.txt", triples, fmt="%d", delimiter="\t")
    return Files(
        store=sparse_store(folder / "graph.zarr", num_triples=sizes.num_triples, **counts),
        model=_checkpoint(folder / "model.pt", sizes.embedding_dim),
        tests=folder / "test.txt",
    )


def _checkpoint(path: Path, dim: int) -> Path:
    image = {"embedding_dim": dim, "embedding_height": IMAGE_HEIGHT, "embedding_width": dim // IMAGE_HEIGHT}
    torch.manual_seed(0)
    model = ConvE(ConvEConfig(num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS, **image))
    model.initialize()
    torch.save({"model_state_dict": model.state_dict(), "model_config": image}, path)
    return path
