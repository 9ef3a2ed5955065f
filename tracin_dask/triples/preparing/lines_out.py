"""Triples as lines of `head TAB relation TAB tail`, as the file had them: ids where it has ids, else labels."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import TriplesError
from tracin_dask.triples.fields import LINE_MARK
from tracin_dask.triples.preparing.whole_graph import WholeGraph

ROWS = 1 << 18
"""Lines that are made at a time."""


def refuse_line_marks(graph: WholeGraph) -> None:
    """Refuse labels that no line can hold, which an id map or a store may have.

    Raises
    ------
    TriplesError
        With the first of them.
    """
    for kind, id_map in (("entity", graph.entities), ("relation", graph.relations)):
        marked = pc.match_substring_regex(id_map.labels, pattern=LINE_MARK)
        if pc.any(marked).as_py():
            label = id_map.labels[pc.index(marked, True).as_py()].as_py()
            raise TriplesError(
                f"{graph.source.name}: the {kind} {label!r} has a tab or an end of line, which no text file of triples "
                "can hold; give it another label"
            )


def line_blocks(
    graph: WholeGraph, triples: Int64[ndarray, "row 3"], last: pa.StringArray | None = None
) -> Iterator[bytes]:
    """Write triples as UTF-8, many lines at a time; `last` is a fourth column."""
    for start in range(0, len(triples), ROWS):
        columns = _texts(graph, triples[start : start + ROWS])
        if last is not None:
            columns.append(last[start : start + ROWS])
        lines = pc.binary_join_element_wise(*columns, "\t")
        yield "".join(f"{line}\n" for line in lines.to_pylist()).encode()


def triple_lines(graph: WholeGraph, triples: Int64[ndarray, "row 3"]) -> Iterator[str]:
    """Write triples as lines."""
    for block in line_blocks(graph, triples):
        yield from block.decode().splitlines(keepends=True)


def _texts(graph: WholeGraph, triples: Int64[ndarray, "row 3"]) -> list[pa.StringArray]:
    columns = [pa.array(np.ascontiguousarray(column)) for column in triples.T]
    if graph.has_ids:
        return [column.cast(pa.string()) for column in columns]
    maps = (graph.entities, graph.relations, graph.entities)
    return [id_map.labels.take(column) for id_map, column in zip(maps, columns, strict=True)]
