"""Writes a split: a file of lines for each part, those taken out, and what was done."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.places.files import write_json_file
from tracin_dask.places.place import Place
from tracin_dask.triples.preparing.lines_out import line_blocks
from tracin_dask.triples.preparing.split import DUPLICATE, INVERSE_PAIR, SAME_PAIR, TEST, TRAIN, VALID, Split
from tracin_dask.triples.preparing.whole_graph import WholeGraph

PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}
REMOVED = "removed.txt"
SAME, INVERSE = "same pair", "inverse pair"
"""Why a training triple was taken out: it has a held-out pair in the same direction, or only in the other one."""


def write_split(folder: Place, graph: WholeGraph, split: Split, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill an empty folder; a part without triples has no file. Gives what `split.json` states."""
    files: dict[str, Any] = {}
    for name, code in PARTS.items():
        rows = np.flatnonzero(split.part == code)
        if len(rows):
            files[name] = _write(folder / f"{name}.txt", graph, graph.triples[rows])
    reasons = _write_removed(folder, graph, split)
    stated = {**about, **_counts(graph, split, reasons), "files": files}
    write_json_file(folder / "split.json", stated)
    return stated


def _write(
    place: Place, graph: WholeGraph, triples: Int64[ndarray, "row 3"], last: pa.StringArray | None = None
) -> dict[str, Any]:
    digest = hashlib.sha256()
    with place.writer() as file:
        for data in line_blocks(graph, triples, last):
            digest.update(data)
            file.write(data)
    entities, relations = np.unique(triples[:, [0, 2]]), np.unique(triples[:, 1])
    return {
        "file": place.name,
        "triples": len(triples),
        "entities": len(entities),
        "relations": len(relations),
        "sha256": digest.hexdigest(),
    }


def _write_removed(folder: Place, graph: WholeGraph, split: Split) -> dict[str, int]:
    """Write the training triples that were taken out, each with the reason; count them by it."""
    rows = np.flatnonzero((split.part == SAME_PAIR) | (split.part == INVERSE_PAIR))
    is_same = split.part[rows] == SAME_PAIR
    if len(rows):
        reasons = pa.array(np.where(is_same, SAME, INVERSE).tolist(), pa.string())
        _write(folder / REMOVED, graph, graph.triples[rows], reasons)
    return {SAME: int(is_same.sum()), INVERSE: int((~is_same).sum())}


def _counts(graph: WholeGraph, split: Split, reasons: Mapping[str, int]) -> dict[str, Any]:
    return {
        "counts": {
            "lines": len(graph),
            "skipped_lines": dict(graph.skipped),
            "distinct_triples": len(graph) - split.count(DUPLICATE),
            "that_may_be_held_out": split.num_candidates,
            "wanted_valid": split.wanted_valid,
            "wanted_test": split.wanted_test,
            **{name: split.count(code) for name, code in PARTS.items()},
            "kept_in_test": split.num_kept,
            "returned_to_training": split.num_returned,
        },
        "removed": {"duplicates": split.count(DUPLICATE), **reasons},
        "relations_without_training_triples": [graph.relations.label(number) for number in split.lost_relations],
    }
