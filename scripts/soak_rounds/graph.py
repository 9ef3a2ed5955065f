"""The graph of a soak, the command line that explains it, and how its results are compared."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from soak_rounds.processes import tracin_dask

_MAKE_GRAPH = Path(__file__).parents[1] / "make_graph.py"
_SIZES = {"triples": 16_000, "entities": 1_000, "relations": 12, "test-triples": 3, "valid-triples": 10}
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


def digest(output: Path) -> str:
    """Hash all that a run found, without the metadata that differs from run to run."""
    found = hashlib.sha256()
    for path in sorted(output.glob("*.json")):
        contents = json.loads(path.read_text(encoding="utf-8"))
        contents.pop("run", None)
        found.update(f"{path.name} {json.dumps(contents, sort_keys=True)}\n".encode())
    return found.hexdigest()
