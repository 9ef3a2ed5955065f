"""What `tracin-dask` is asked to do with the synthetic graph, and what its results say of their seconds."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
