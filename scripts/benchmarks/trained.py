"""Models trained in the run, by `tracin-dask train`: UMLS always, FB15k-237 where it is there and time allows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import run_measured, tracin_dask
from benchmarks.settings import ModelSize, Settings
from benchmarks.workloads import UMLS, extract_fb15k237
from tracin_dask import ingest, load_checkpoint
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.text import read_triples


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a model is trained."""

    size: ModelSize
    epochs: int
    batch_size: int
    learning_rate: float

    def options(self) -> list[str]:
        """Give the options of `tracin-dask train`."""
        values = {
            "--embedding-dim": self.size.dim,
            "--embedding-height": self.size.height,
            "--embedding-width": self.size.width,
            "--num-epochs": self.epochs,
            "--batch-size": self.batch_size,
            "--learning-rate": self.learning_rate,
        }
        return [str(word) for option in values.items() for word in option]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedGraph:
    """A store, a model trained on it, and the graph's held-out test triples as ids."""

    name: str
    title: str
    store: TripleStore
    checkpoint: Checkpoint
    held_out: NDArray[np.int64]

    def tests(self, count: int) -> NDArray[np.int64]:
        """Draw test triples; the same ones at every call."""
        return self.held_out[np.random.default_rng(0).choice(len(self.held_out), count, replace=False)]

    def train(self, count: int) -> NDArray[np.int64]:
        """Draw training triples."""
        rows = np.random.default_rng(1).choice(len(self.store), count, replace=False)
        return self.store.read(0, len(self.store)).triples[rows]


def trained_umls(settings: Settings) -> TrainedGraph:
    """Train as scripts/quickstart does."""
    size = ModelSize(height=8, width=4)
    training = Training(size=size, epochs=settings.sizes.train_epochs, batch_size=64, learning_rate=0.003)
    return _trained("umls", "UMLS", UMLS, training, settings.scratch / "umls")


def trained_fb15k237(settings: Settings, data: Path) -> TrainedGraph:
    """Train a few epochs with the trainer's defaults."""
    epochs = settings.sizes.large_train_epochs
    training = Training(size=ModelSize(height=10, width=20), epochs=epochs, batch_size=256, learning_rate=0.001)
    folder = settings.scratch / "fb15k237"
    extract_fb15k237(data, folder / "text")
    return _trained("fb15k237", "FB15k-237", folder / "text", training, folder)


def _trained(name: str, title: str, text: Path, training: Training, folder: Path) -> TrainedGraph:
    model = folder / "model"
    files = ("--train", text / "train.txt", "--test", text / "test.txt", "--output-dir", model)
    run_measured(tracin_dask("train", *files, *training.options()))
    maps = {f"{kind}_to_id": model / f"{kind}_to_id.tsv" for kind in ("entity", "relation")}
    store = ingest(text / "train.txt", folder / "graph.zarr", **maps)
    return TrainedGraph(
        name=name,
        title=f"{title}, dimension {training.size.dim}, {training.epochs} epochs",
        store=store,
        checkpoint=load_checkpoint(model / "final_model.pt"),
        held_out=read_triples(text / "test.txt", store.entities, store.relations),
    )
