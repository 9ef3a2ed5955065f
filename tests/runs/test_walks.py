"""Masks that follow the graph rank what networkx finds: within hops of head and tail, and on simple paths."""

import errno
from collections.abc import Iterator

import networkx as nx
import numpy as np
import pytest

from tracin_dask.influence.columns import Targets
from tracin_dask.runs.inputs.masks.chosen import masks_of
from tracin_dask.runs.options.masking import MaskingOptions
from tracin_dask.runs.test_side import locality
from tracin_dask.triples import neighbourhood, reach
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.store import TripleStore

NUM_GRAPHS, NUM_ENTITIES, NUM_TESTS = 30, 9, 3
RULES = [
    {},
    {"directed_hops": True},
    {"min_degree": 3},
    {"max_degree": 5},
    {"directed_hops": True, "min_degree": 2, "max_degree": 6},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TripleStore:
    """Many small random graphs side by side, with loops, parallel triples, triples both ways and duplicates."""
    folder, random = tmp_path_factory.mktemp("walks"), np.random.default_rng(8)
    blocks = []
    for number in range(NUM_GRAPHS):
        size = 8 + number % 15
        ends = random.integers(NUM_ENTITIES, size=(size, 2)) + NUM_ENTITIES * number
        blocks.append(np.stack([ends[:, 0], random.integers(3, size=size), ends[:, 1]], axis=1))
    lines = random.permutation(np.concatenate(blocks))
    (folder / "train.txt").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines.tolist()))
    for role, count in (("entity", NUM_GRAPHS * NUM_ENTITIES), ("relation", 3)):
        (folder / f"{role}.tsv").write_text("".join(f"{each}\t{each}\n" for each in range(count)))
    maps = {"entity_to_id": folder / "entity.tsv", "relation_to_id": folder / "relation.tsv"}
    return ingest(folder / "train.txt", folder / "graph.zarr", **maps, options=IngestOptions(ids=True))


@pytest.fixture(scope="module")
def triples(store: TripleStore) -> np.ndarray:
    return store.read(0, len(store)).triples


@pytest.fixture(scope="module")
def tests(triples: np.ndarray) -> np.ndarray:
    """A training triple, new triples, and one from an entity to itself, of every graph."""
    random = np.random.default_rng(3)
    found = []
    for number in range(NUM_GRAPHS):
        mine = triples[triples[:, 0] // NUM_ENTITIES == number]
        found.append(mine[random.integers(len(mine))])
        for head, tail in random.integers(NUM_ENTITIES, size=(NUM_TESTS, 2)) + NUM_ENTITIES * number:
            found.append(np.array([head, 0, tail]))
    return np.stack(found)


def ranked(store: TripleStore, triples: np.ndarray, tests: np.ndarray, **options) -> np.ndarray:
    """Ask the mask [row, test]."""
    (mask,) = masks_of(store, MaskingOptions(**options), Targets(triples=tests)).masks
    return mask.pairs(triples, np.arange(len(triples)), Targets(triples=tests))


def graphs(triples: np.ndarray, tests: np.ndarray, rules: dict) -> Iterator[tuple[nx.MultiDiGraph, list[int]]]:
    """Give, for each test triple, the graph without the entities that are not passed; rows are the keys of triples."""
    kind = nx.MultiDiGraph if rules.get("directed_hops") else nx.MultiGraph
    whole = kind()
    for row, (head, _, tail) in enumerate(triples.tolist()):
        whole.add_edge(head, tail, key=row)
    least, most = rules.get("min_degree", 0), rules.get("max_degree", 10**6)
    passed = {entity for entity, degree in whole.degree() if least <= degree <= most}
    for head, _, tail in tests.tolist():
        mine = set(range(head // NUM_ENTITIES * NUM_ENTITIES, (head // NUM_ENTITIES + 1) * NUM_ENTITIES))
        part = kind(whole.subgraph(mine & (passed | {head, tail})))
        part.add_nodes_from([head, tail])
        yield part, [head, tail]


def expected_within(triples: np.ndarray, tests: np.ndarray, hops: int, rules: dict) -> np.ndarray:
    found = np.zeros((len(triples), len(tests)), dtype=bool)
    for test, (graph, ends) in enumerate(graphs(triples, tests, rules)):
        near = [set(nx.single_source_shortest_path_length(graph, end, cutoff=hops - 1)) for end in ends]
        for row, (head, _, tail) in enumerate(triples.tolist()):
            starts = [head] if rules.get("directed_hops") else [head, tail]
            found[row, test] = any(start in each for each in near for start in starts)
    return found


def expected_on_paths(triples: np.ndarray, tests: np.ndarray, longest: int, rules: dict) -> np.ndarray:
    found = np.zeros((len(triples), len(tests)), dtype=bool)
    for test, (graph, ends) in enumerate(graphs(triples, tests, rules)):
        for path in nx.all_simple_edge_paths(graph, *ends, cutoff=longest):
            found[[key for *_, key in path], test] = True
    return found


def expected_on_walks(triples: np.ndarray, tests: np.ndarray, longest: int, rules: dict) -> np.ndarray:
    """Walk along all triples, step by step, and keep those of the walks that end at the tail."""
    found = np.zeros((len(triples), len(tests)), dtype=bool)
    for test, (graph, (head, tail)) in enumerate(graphs(triples, tests, rules)):
        walks = [(head, ())]
        for _ in range(longest):
            walks = [
                (other, (*rows, row))
                for end, rows in {(end, frozenset(rows)): (end, rows) for end, rows in walks}.values()
                for _, other, row in graph.edges(end, keys=True)
            ]
            for end, rows in walks:
                if end == tail:
                    found[list(rows), test] = True
    return found


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("longest", [2, 3, 4])
def test_training_triples_on_walks_are_those_of_all_walks(store, triples, tests, longest, rules):
    found = ranked(store, triples, tests, on_paths=longest, all_walks=True, **rules)
    expected = expected_on_walks(triples, tests, longest, rules)
    np.testing.assert_array_equal(found, expected)
    simple = expected_on_paths(triples, tests, longest, rules)
    assert (simple <= expected).all()
    assert simple.sum() < expected.sum() < expected.size


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_training_triples_within_hops_are_those_of_networkx(store, triples, tests, hops, rules):
    found = ranked(store, triples, tests, within_hops=hops, **rules)
    np.testing.assert_array_equal(found, expected_within(triples, tests, hops, rules))


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("longest", [2, 3, 4])
def test_training_triples_on_simple_paths_are_those_of_networkx(store, triples, tests, longest, rules):
    found = ranked(store, triples, tests, on_paths=longest, **rules)
    expected = expected_on_paths(triples, tests, longest, rules)
    np.testing.assert_array_equal(found, expected)
    assert 20 < expected.sum() < expected.size


def test_one_hop_is_what_touches_head_or_tail(store, triples, tests):
    found = ranked(store, triples, tests, within_hops=1, max_degree=1)  # head and tail are always passed
    np.testing.assert_array_equal(found, ranked(store, triples, tests, touching="either"))


def test_small_steps_and_passes_over_all_rows_change_nothing(store, triples, tests, monkeypatch):
    asked = [{"within_hops": 3}, {"on_paths": 4}, {"on_paths": 4, "directed_hops": True}]
    asked.append({"on_paths": 4, "all_walks": True})
    expected = [ranked(store, triples, tests, **options) for options in asked]
    monkeypatch.setattr(reach, "STEP_PAIRS", 3)
    monkeypatch.setattr(neighbourhood, "FEW_ROWS", 0)
    monkeypatch.setattr(neighbourhood, "STEP_ROWS", 7)
    for options, usual in zip(asked, expected, strict=True):
        np.testing.assert_array_equal(ranked(store, triples, tests, **options), usual)


def test_passes_over_all_rows_are_reported(store, tests, monkeypatch):
    monkeypatch.setattr(neighbourhood, "FEW_ROWS", 0)
    seen = []
    options, targets = MaskingOptions(within_hops=2), Targets(triples=tests)
    masks_of(store, options, targets, lambda *report: seen.append(report))
    assert seen[-1] == ("hop 1 of 2", len(store), len(store))


def test_sets_of_more_than_64_test_triples_are_kept_in_bits(store, triples, tests):
    (mask,) = masks_of(store, MaskingOptions(within_hops=1), Targets(triples=tests)).masks
    assert len(tests) > 64
    ends = len(np.unique(tests[:, [0, 2]]))
    assert mask.num_bytes == 4 * store.info.num_entities + (ends + 1) * -(-len(tests) // 8)
    for test in (0, 70):
        alone = ranked(store, triples, tests[[test]], within_hops=2)
        np.testing.assert_array_equal(alone[:, 0], ranked(store, triples, tests, within_hops=2)[:, test])


def test_a_store_without_an_index_is_read_whole(store, triples, tests, monkeypatch, caplog):
    asked = [{"within_hops": 3, "max_degree": 4}, {"on_paths": 4, "min_degree": 3}]
    expected = [ranked(store, triples, tests, **options) for options in asked]

    def unwritable(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(locality, "entity_rows", unwritable)
    for options, usual in zip(asked, expected, strict=True):
        np.testing.assert_array_equal(ranked(store, triples, tests, **options), usual)
    assert "this run reads all training triples to find those that count" in caplog.text
