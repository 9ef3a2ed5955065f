"""What one run of the suite measures, and with which sizes."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

SECTIONS = {
    "engine": "the engine next to a per-triple autograd loop, float32 and mixed precision",
    "calls": "operator calls, copies and waits for the device per batch, counted without a GPU",
    "losses": "the losses of training next to that of the score, and five checkpoints of one training",
    "models": "models of PyKEEN next to a per-triple autograd loop over the same model",
    "train": "one training of a ConvE: steps, ranks of its evaluation, and the operator calls of both",
    "trainings": "many trainings of a ConvE together, next to one after the other",
    "peers": "other tools that compute gradient products, where they are installed",
    "claims": "what the existing tool's documentation says of its options, on a trained model",
    "robokop": "the whole command on a graph of ROBOKOP's size: ingest and runs",
    "scaling": "cost against training triples and test triples",
    "dask": "what Dask takes of a run, and what a second worker gives",
    "start": "from the shell to the first result",
    "stores": "an object store that answers after 100 ms, next to the file system",
    "clusters": "how long clusters take to start: --cluster names them",
}
"""Every section and what it measures; each is a file bench_NAME.py."""

GPU_SECTIONS = ("engine", "losses", "models", "train", "robokop")
"""The sections that measure a GPU, too."""

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """The image of a ConvE's embeddings."""

    height: int
    width: int

    @property
    def dim(self) -> int:
        """Numbers per entity."""
        return self.height * self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much each section measures.

    Attributes
    ----------
    rows
        Training triples that the engine scores in a round, by the number of test triples; cut off at the store's end.
    loop_rows
        Training triples that the loop scores in a round, by the number of test triples.
    agreement_tests
        Test triples whose scores over all rows are compared between two precisions.
    synthetic
        Training triples, entities and relations of the synthetic graph; None for scripts/make_graph's defaults.
    scaling_rows, scaling_tests
        Numbers of training triples and of test triples in the scaling section; the store's end cuts the former.
    line_tests
        Test triples that meet the numbers of training triples there.
    line_from
        From as many training triples on, the straight line is fitted.
    tests_rows
        Training triples that meet the numbers of test triples there.
    dask_tests, dask_rows
        Test triples and training triples of the section dask; a loop over them should take half a minute or more.
    """

    num_entities: int = 14_541
    num_relations: int = 237
    num_triples: int = 272_115
    model: ModelSize = field(default_factory=lambda: ModelSize(height=10, width=20))
    rows: dict[int, int] = field(default_factory=lambda: dict.fromkeys((1, 16, 256, 1024), 272_115))
    loop_rows: dict[int, int] = field(default_factory=lambda: {1: 96, 16: 48, 256: 8})
    agreement_tests: int = 64
    matrix_sizes: tuple[int, ...] = (1024, 2048, 4096)
    synthetic: tuple[int, int, int] | None = None
    robokop_tests: int = 750
    scaling_rows: tuple[int, ...] = (10**4, 10**5, 10**6, 2 * 10**6, 5 * 10**6, 10**7, 2 * 10**7)
    scaling_tests: tuple[int, ...] = (1, 4, 16, 64, 256, 1000)
    line_tests: tuple[int, ...] = (1, 100)
    line_from: int = 10**6
    tests_rows: int = 10**6
    dask_tests: int = 1_024
    dask_rows: int = 272_115
    start_rows: int = 60_000
    train_epochs: int = 30
    large_train_epochs: int = 3


FULL = Sizes()
QUICK = Sizes(
    rows={1: 32_768, 16: 16_384, 256: 8_192, 1024: 8_192},
    loop_rows={1: 16, 16: 8, 256: 2},
    agreement_tests=16,
    matrix_sizes=(1024, 2048),
    synthetic=(200_000, 20_000, 20),
    robokop_tests=20,
    scaling_rows=(10**4, 10**5, 2 * 10**5),
    scaling_tests=(1, 16, 64),
    line_tests=(1, 16),
    line_from=10**5,
    tests_rows=10**5,
    dask_tests=16,
    dask_rows=65_536,
    train_epochs=10,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run of the suite.

    Attributes
    ----------
    graph
        Folder of the synthetic graph; made there if it is missing.
    scratch
        Folder for everything else that is made; deleted at the end.
    clusters
        Specifications of clusters whose start is measured.
    """

    sections: tuple[str, ...]
    device: Device
    threads: int
    repeats: int
    is_quick: bool
    sizes: Sizes
    graph: Path
    scratch: Path
    clusters: tuple[str, ...] = ("local",)

    @property
    def data(self) -> Path | None:
        """Give the folder of larger graphs that TRACIN_DASK_DATA names, if it does."""
        folder = os.environ.get("TRACIN_DASK_DATA")
        return Path(folder) if folder else None


SETTINGS = pytest.StashKey[Settings]()


@dataclass(frozen=True, slots=True)
class SettingsPlugin:
    """Hands the settings to the sections."""

    settings: Settings

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep them where fixtures find them."""
        config.stash[SETTINGS] = self.settings


def default_graph(*, is_quick: bool) -> Path:
    """Name the folder of the synthetic graph in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tracin-dask" / "benchmarks" / ("quick" if is_quick else "robokop-size")
