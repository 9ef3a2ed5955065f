"""Distances in the training graph are those of networkx, from whichever side the last hop is looked at."""

import networkx as nx
import numpy as np
import pytest

from tracin_dask.triples import hops
from tracin_dask.triples.hops import BEYOND, TrainingGraph
from tracin_dask.triples.ingest import ingest


def graph_of(tmp_path, lines):
    (tmp_path / "train.txt").write_text("".join(f"e{head}\tr{kind}\te{tail}\n" for head, kind, tail in lines))
    store = ingest(tmp_path / "train.txt", tmp_path / "graph.zarr")
    numbers = {label: number for number, label in enumerate(store.entities.labels.to_pylist())}
    known = nx.Graph([(numbers[f"e{head}"], numbers[f"e{tail}"]) for head, _, tail in lines])
    return TrainingGraph.of(store), known


def random_lines(num_entities, num_lines):
    """Draw triples with repeated ones, loops, and entities that most triples touch."""
    random = np.random.default_rng(7)
    ends = (num_entities * random.random((num_lines, 2)) ** 3).astype(int)
    return [
        (head, int(kind), tail)
        for (head, tail), kind in zip(ends.tolist(), random.integers(3, size=num_lines), strict=True)
    ]


@pytest.mark.parametrize("most_hops", [1, 2, 3, 9])
@pytest.mark.parametrize("num_lines", [60, 400])
def test_distances_are_those_of_networkx(tmp_path, monkeypatch, most_hops, num_lines):
    monkeypatch.setattr(hops, "SHARD_ROWS", 64)
    graph, known = graph_of(tmp_path, random_lines(150, num_lines))
    everything = np.arange(graph.tails.shape[0])
    random = np.random.default_rng(1)
    for source in everything[::3].tolist():
        lengths = nx.single_source_shortest_path_length(known, source, cutoff=most_hops)
        for targets in (everything, random.choice(everything, 4), np.empty(0, np.int64)):
            expected = [lengths.get(target, BEYOND) for target in targets.tolist()]
            assert graph.distances(source, targets, most_hops).tolist() == expected


@pytest.mark.parametrize("is_cheaper", [True, False])
def test_the_last_hop_is_the_same_from_both_sides(tmp_path, monkeypatch, is_cheaper):
    graph, known = graph_of(tmp_path, random_lines(80, 120))
    sizes = iter([0, 1] if is_cheaper else [1, 0])
    monkeypatch.setattr(TrainingGraph, "_num_triples", lambda *_: next(sizes))
    targets = np.arange(graph.tails.shape[0])
    lengths = nx.single_source_shortest_path_length(known, 5, cutoff=2)
    assert graph.distances(5, targets, 2).tolist() == [lengths.get(target, BEYOND) for target in targets.tolist()]


def test_the_graph_takes_ten_bytes_per_triple_and_a_little_per_entity(tmp_path):
    graph, _ = graph_of(tmp_path, random_lines(50, 2000))
    held = [part for side in (graph.tails, graph.heads) for part in (side.data, side.indices)]
    assert sum(part.nbytes for part in held) == 10 * 2000
