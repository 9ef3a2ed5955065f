"""What `tracin-dask` is asked to do with the synthetic graph, and what its results say of their seconds."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.processes import run_measured, tracin_dask
from benchmarks.settings import Settings
from benchmarks.workloads import SyntheticGraph


def ingest_synthetic(graph: SyntheticGraph, output: Path) -> list[str]:
    """Ingest the synthetic graph's labelled text, with names, over a store that is there already."""
    return tracin_dask(
        *("ingest", graph.file("train.txt"), "--output", output, "--overwrite"),
        *("--entity-to-id", graph.file("node_dict.txt"), "--relation-to-id", graph.file("rel_dict.txt")),
        *("--entity-names", graph.file("node_name_dict.txt"), "--edge-map", graph.file("edge_map.json")),
    )


def ingested(graph: SyntheticGraph, settings: Settings) -> Path:
    """Give the store of the synthetic graph: the one that was measured, or else one made now, once for all sections."""
    made = [settings.scratch / name for name in ("measured.zarr", "ingested.zarr")]
    for store in made:
        if store.exists():
            return store
    run_measured(ingest_synthetic(graph, made[-1]))
    return made[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffled:
    """A store of the synthetic graph with entities numbered at random, and a checkpoint that does not object."""

    store: Path
    model: Path


def shuffled(graph: SyntheticGraph, folder: Path) -> Shuffled:
    """Ingest the synthetic graph with shuffled entity ids, once for all sections.

    The graph's own ids go by type, and a store is sorted by head: its first rows are heads of a few types, which share
    other things than the rest. With shuffled ids the first rows are random heads with all their triples. The weights
    are random, so that it does not matter which entity has which.
    """
    made = Shuffled(store=folder / "graph.zarr", model=folder / "model.pt")
    if made.store.exists():
        return made
    folder.mkdir(parents=True)
    labels = [line.partition("\t")[0] for line in graph.file("node_dict.txt").read_text().splitlines()]
    ids = np.random.default_rng(0).permutation(len(labels))
    text = "".join(f"{label}\t{number}\n" for label, number in zip(labels, ids.tolist(), strict=True))
    (folder / "node_dict.txt").write_text(text)
    contents = torch.load(graph.file("model.pt"), weights_only=True)
    torch.save({key: value for key, value in contents.items() if key != "id_maps_sha256"}, made.model)
    maps = ("--entity-to-id", folder / "node_dict.txt", "--relation-to-id", graph.file("rel_dict.txt"))
    run_measured(tracin_dask("ingest", graph.file("train.txt"), "--output", made.store, *maps))
    return made


def stated_seconds(path: Path) -> dict[str, float]:
    """Give every number of seconds that a result states of its run, by its name there."""
    return dict(_seconds(json.loads(path.read_text())["run"], ""))


def _seconds(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _seconds(value, f"{path}.")
        elif "seconds" in path and isinstance(value, int | float):
            yield path, float(value)
