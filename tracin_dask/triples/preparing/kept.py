"""Test triples that a user chose: a file of triples of the graph, all of which become test triples."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.lines import SHOWN_LINES
from tracin_dask.triples.preparing.lines_out import triple_lines
from tracin_dask.triples.preparing.split import UntrainedError
from tracin_dask.triples.preparing.whole_graph import FileReading, WholeGraph, further_triples, refuse_invalid
from tracin_dask.triples.sort import KeyLayout


def read_kept(path: AnyPath, graph: WholeGraph, of_relation: tuple[int, ...], reading: FileReading) -> TripleBlock:
    """Read the chosen test triples; with `skip_invalid`, those that cannot be held out are left out.

    Raises
    ------
    TriplesError
        If a line is malformed, no triple of the graph, or of a relation that is not held out; or if none is left.
    """
    found = further_triples(path, graph, reading, allowed=lambda _: True)  # refused below, all together
    layout = KeyLayout(num_entities=len(graph.entities), num_relations=len(graph.relations))
    block = found.block
    is_known = np.isin(layout.pack(block.triples), layout.pack(graph.triples))
    is_held = np.isin(block.triples[:, 1], of_relation) if of_relation else np.ones(len(block), dtype=bool)
    for kind, wrong in (
        ("no triple of the graph", ~is_known),
        ("relation that --of-relation does not name", is_known & ~is_held),
    ):
        rows = np.flatnonzero(wrong)
        if len(rows):
            shown = [line.rstrip("\n") for line in triple_lines(graph, block.triples[rows[:SHOWN_LINES]])]
            found.invalid.add(kind, block.train_index[rows].tolist(), shown)
    refuse_invalid(found.text, found.invalid, graph.texts, skip_invalid=reading.skip_invalid)
    kept = block.where(is_known & is_held)
    if not len(kept):
        raise TriplesError(f"{found.text.path}: no line is a triple that may be held out")
    return kept


def explained_by_line(error: UntrainedError, path: AnyPath, graph: WholeGraph, kept: TripleBlock) -> TriplesError:
    """Name the line of a kept triple that would be left without training triples."""
    lines = kept.train_index[(kept.triples == error.triple).all(axis=1)]
    where = f"{path}, line {lines[0] + 1}" if len(lines) else str(path)
    shown = next(triple_lines(graph, error.triple[None])).rstrip("\n")
    more = f" ({error.number:,} such triples in all)" if error.number > 1 else ""
    return TriplesError(f"{where}: {shown!r}: {error}{more}")


def distinct_kept(kept: TripleBlock) -> Int64[ndarray, "kept 3"]:
    """Give each kept triple once."""
    distinct: ndarray = np.unique(kept.triples, axis=0)
    return distinct
