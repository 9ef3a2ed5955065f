"""The graphs and checkpoints that are measured: FB15k-237 or a random graph of its size, and a synthetic large one."""

import json
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import tracin_dask
from benchmarks.settings import Settings, Sizes
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.triples.store import TripleStore

ROOT = Path(__file__).resolve().parents[2]
UMLS = ROOT / "tests" / "data" / "umls"
MAKE_GRAPH = ROOT / "scripts" / "make_graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A store, a model of its entities, and the text files that they were made from."""

    name: str
    text: Path
    entity_to_id: Path
    relation_to_id: Path
    store: TripleStore
    checkpoint: Checkpoint

    def tests(self, count: int) -> NDArray[np.int64]:
        """Draw test triples from the training triples; the same ones at every call."""
        random = np.random.default_rng(count)
        rows = random.choice(len(self.store), count, replace=count > len(self.store))
        return self.store.read(0, len(self.store)).triples[rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticGraph:
    """The files that scripts/make_graph wrote."""

    folder: Path

    def file(self, name: str) -> Path:
        """Name one of the files."""
        return self.folder / name

    @property
    def num_triples(self) -> int:
        """Training triples."""
        return int(self._statement()["num_triples"])

    @property
    def num_tests(self) -> int:
        """Held-out test triples."""
        return int(self._statement()["num_test"])

    def first_test(self) -> list[str]:
        """Give the labels of the first test triple."""
        with self.file("test.txt").open() as lines:
            return next(lines).rstrip("\n").split("\t")

    def _statement(self) -> dict[str, Any]:
        statement: dict[str, Any] = json.loads(self.file("graph.json").read_text())
        return statement


def engine_graph(settings: Settings, folder: Path) -> Graph:
    """Ingest FB15k-237 where TRACIN_DASK_DATA has it, else a random graph of its size; with a random ConvE."""
    folder.mkdir(parents=True, exist_ok=True)
    text, sizes = folder / "train.txt", settings.sizes
    archive = settings.data / "FB15k-237.tar.gz" if settings.data else None
    if archive is not None and sizes.num_triples == Sizes().num_triples:
        name = "FB15k-237"
        _extract(archive, "train.txt", text)
    else:
        name = "a random graph" + (" of FB15k-237's size" if sizes.num_triples == Sizes().num_triples else "")
        _write_random_graph(text, sizes)
    return graph_of(name, text, sizes)


def graph_of(name: str, text: Path, sizes: Sizes) -> Graph:
    """Ingest a text file with id maps of the stated sizes, and make a random ConvE for it."""
    maps = {"entity": sizes.num_entities, "relation": sizes.num_relations}
    paths = {kind: _write_id_map(text, text.parent / f"{kind}_to_id.tsv", count) for kind, count in maps.items()}
    return _graph(name, text, paths, sizes)


def graph_of_ids(folder: Path, triples: NDArray[np.int64], sizes: Sizes) -> Graph:
    """Ingest triples of ids, which they keep, and make a random ConvE for them."""
    folder.mkdir(parents=True)
    text = folder / "train.txt"
    np.savetxt(text, triples, fmt="%d", delimiter="\t")
    paths = {kind: folder / f"{kind}_to_id.tsv" for kind in ("entity", "relation")}
    for path, count in zip(paths.values(), (sizes.num_entities, sizes.num_relations), strict=True):
        path.write_text("".join(f"{number}\t{number}\n" for number in range(count)))
    return _graph(folder.name, text, paths, sizes)


def _graph(name: str, text: Path, maps: Mapping[str, Path], sizes: Sizes) -> Graph:
    store = tracin_dask.ingest(
        text,
        text.parent / "graph.zarr",
        entity_to_id=maps["entity"],
        relation_to_id=maps["relation"],
        options=tracin_dask.IngestOptions(labels=True, map_columns="label,id"),
    )
    return Graph(
        name=name,
        text=text,
        entity_to_id=maps["entity"],
        relation_to_id=maps["relation"],
        store=store,
        checkpoint=_random_checkpoint(text.parent / "model.pt", sizes),
    )


def synthetic_graph(settings: Settings) -> SyntheticGraph:
    """Give the synthetic graph, made by scripts/make_graph where its folder is missing."""
    if not (settings.graph / "graph.json").exists():
        command = [str(MAKE_GRAPH), "--output", str(settings.graph)]
        if settings.sizes.synthetic is not None:
            triples, entities, relations = map(str, settings.sizes.synthetic)
            command += ["--triples", triples, "--entities", entities, "--relations", relations]
            command += ["--test-triples", str(settings.sizes.robokop_tests), "--valid-triples", "10"]
        settings.graph.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, check=True)
    return SyntheticGraph(folder=settings.graph)


def first_lines(text: Path, target: Path, count: int) -> Path:
    """Write the first lines of a text file to another one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with text.open() as lines, target.open("w") as file:
        file.writelines(line for line, _ in zip(lines, range(count), strict=False))
    return target


def extract_fb15k237(data: Path, folder: Path) -> dict[str, Path]:
    """Unpack FB15k-237's three text files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("train", "valid", "test")
    return {name: _extract(data / "FB15k-237.tar.gz", f"{name}.txt", folder / f"{name}.txt") for name in names}


def _extract(archive: Path, name: str, target: Path) -> Path:
    with tarfile.open(archive) as files:
        member = next(found for found in files.getnames() if Path(found).name == name)
        contents = files.extractfile(member)
        if contents is None:
            raise FileNotFoundError(f"{archive}: {member} is no file")
        target.write_bytes(contents.read())
    return target


def _write_random_graph(text: Path, sizes: Sizes) -> None:
    """Draw heads and tails by a power law, as real graphs have them."""
    random = np.random.default_rng(0)
    heads, tails = (np.minimum(random.zipf(1.3, sizes.num_triples), sizes.num_entities) - 1 for _ in range(2))
    relations = random.integers(0, sizes.num_relations, sizes.num_triples)
    np.savetxt(text, np.stack([heads, relations, tails], axis=1), fmt="%d", delimiter="\t")


def _write_id_map(text: Path, path: Path, count: int) -> Path:
    """Number the labels of a text file, and make up those that it does not show."""
    columns = (0, 2) if path.name.startswith("entity") else (1,)
    found = {line.split("\t")[column] for line in text.read_text().splitlines() for column in columns}
    labels = sorted(found) + [f"unseen {number}" for number in range(count - len(found))]
    path.write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(labels)))
    return path


def _random_checkpoint(path: Path, sizes: Sizes) -> Checkpoint:
    torch.manual_seed(0)
    image = {"embedding_height": sizes.model.height, "embedding_width": sizes.model.width}
    config = ConvEConfig(
        num_entities=sizes.num_entities, num_relations=sizes.num_relations, embedding_dim=sizes.model.dim, **image
    )
    model = ConvE(config)
    model.initialize()
    torch.save(
        {"model_state_dict": model.state_dict(), "model_config": image | {"embedding_dim": sizes.model.dim}}, path
    )
    return load_conve(path)
