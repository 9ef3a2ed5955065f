"""The graph of a soak, the command line that explains it, and how its results are compared."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from soak_rounds.processes import tracin_dask

_MAKE_GRAPH = Path(__file__).parents[1] / "make_graph.py"
_SIZES = {"triples": 8_000, "entities": 1_000, "relations": 12, "test-triples": 3, "valid-triples": 10}
_BATCH_SIZE = 4
"""So small that a run takes some seconds on any machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A graph with a model, in a folder."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Explained":
        """Make a graph with a checkpoint, and ingest it."""
        words = [f"--{name}={size}" for name, size in _SIZES.items()]
        subprocess.run([sys.executable, _MAKE_GRAPH, "--output", folder, *words], check=True, stdout=subprocess.DEVNULL)
        maps = [f"--{kind}-to-id={folder / name}" for kind, name in _MAPS.items()]
        ingest = tracin_dask("ingest", folder / "train.txt", *maps, "--output", folder / "graph.zarr")
        subprocess.run(ingest, check=True, capture_output=True)
        return cls(folder=folder)

    def command(self, output: Path, cluster: str) -> list[str]:
        """Give the command line of a run on two workers, or on a running cluster."""
        workers = ["--workers", "2"] if cluster == "local" else []
        return tracin_dask(
            *("run", "--model-path", self.folder / "model.pt", "--train", self.folder / "graph.zarr"),
            *("--test", self.folder / "test.txt", "--batch-size", _BATCH_SIZE, "--threads-per-worker", "1"),
            *("--group-by", "relation", "--cluster", cluster, *workers, "--output-dir", output),
        )


_MAPS = {"entity": "node_dict.txt", "relation": "rel_dict.txt"}


def digests(output: Path) -> dict[str, str]:
    """Hash all that a run found, file by file, without the metadata that differs from run to run."""
    return {path.name: _digest(path) for path in sorted(output.glob("*")) if path.suffix in _READERS}


def _digest(path: Path) -> str:
    try:
        contents = _READERS[path.suffix](path)
    except (OSError, ValueError) as error:
        contents = f"damaged: {error}"
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _json(path: Path) -> object:
    contents: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    contents.pop("run", None)
    return contents


def _parquet(path: Path) -> object:
    return pq.read_table(path).to_pylist()


_READERS: dict[str, Callable[[Path], object]] = {".json": _json, ".parquet": _parquet}
