"""Graphs in memory, from labelled triples."""

from collections.abc import Sequence

import numpy as np

from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.preparing.whole_graph import WholeGraph
from tracin_dask.triples.store import Source
from tracin_dask.triples.write import StoreTexts


def graph_of(
    lines: Sequence[tuple[str, str, str]], entities: Sequence[str] = (), relations: Sequence[str] = (), **more: object
) -> WholeGraph:
    """Make a graph; entities and relations that are not given are those of the lines, in the order of their labels."""
    entity_map = IdMap.of(entities or sorted({end for head, _, tail in lines for end in (head, tail)}))
    relation_map = IdMap.of(relations or sorted({relation for _, relation, _ in lines}))
    heads, kinds, tails = (list(column) for column in zip(*lines, strict=True))
    triples = np.stack([entity_map.ids(heads), relation_map.ids(kinds), entity_map.ids(tails)], axis=1)
    return WholeGraph(
        triples=triples,
        train_index=np.arange(len(lines)),
        texts=StoreTexts(entities=entity_map, relations=relation_map),
        source=Source(name="graph.txt", size_bytes=1, sha256="0"),
        **more,
    )


def triples_of(graph: WholeGraph, rows: np.ndarray) -> list[tuple[str, str, str]]:
    """Give rows of a graph as labels."""
    maps = (graph.entities, graph.relations, graph.entities)
    return [
        tuple(id_map.label(number) for id_map, number in zip(maps, triple, strict=True))
        for triple in graph.triples[rows].tolist()
    ]
