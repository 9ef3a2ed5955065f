"""Paths from head to tail: all of them, each once, scored as by hand."""

from itertools import pairwise, product

import jaxtyping
import networkx as nx
import numpy as np
import pytest
from made_paths import result_of

import tracin_dask
from tracin_dask.errors import ConfigError
from tracin_dask.report.paths import search, walks
from tracin_dask.report.paths.options import PathOptions
from tracin_dask.report.paths.search import find_paths, listed
from tracin_dask.report.sets import TestSets


def found(result, **options):
    return [path.entries for path in tracin_dask.paths_of(result, **options)]


TRIANGLE = [(0, 0, 3), (2, 1, 3), (3, 0, 2), (0, 1, 2)]
"""0 -> 3, and both 2 -> 3 and 3 -> 2; the test triple itself is the last."""


@pytest.mark.parametrize(
    ("measure", "score"),
    [("mean", 5.0), ("sum", 10.0), ("min", 2.0), ("geometric", 4.0), ("harmonic", 3.2)],
)
def test_the_score_of_a_path_equals_the_measure_by_hand(measure, score):
    (path,) = tracin_dask.paths_of(result_of([(0, 0, 3), (2, 1, 3)], [8.0, 2.0]), measure=measure)
    assert path.score == pytest.approx(score, rel=1e-14)
    assert (path.entries, path.backwards, path.nodes) == ((0, 1), (False, True), (0, 3, 2))


@pytest.mark.parametrize("measure", ["geometric", "harmonic"])
@pytest.mark.parametrize("influence", [0.0, -8.0])
def test_a_path_with_an_opponent_has_no_geometric_or_harmonic_mean_and_is_last(measure, influence):
    given = result_of([(0, 0, 3), (3, 1, 2), (0, 0, 4), (4, 1, 2)], [9.0, influence, 1e-3, 1e-3])
    best, last = tracin_dask.paths_of(given, measure=measure)
    assert (best.entries, last.entries, last.score) == ((2, 3), (0, 1), None)
    assert best.score == pytest.approx(1e-3)


def test_the_harmonic_mean_of_the_smallest_numbers_is_finite():
    (path,) = tracin_dask.paths_of(result_of([(0, 0, 3), (3, 1, 2)], [5e-324, 5e-324]), measure="harmonic")
    assert path.score == 5e-324


def test_paths_are_ordered_by_score_and_ties_by_their_entries():
    given = result_of([(0, 0, 3), (3, 1, 2), (0, 0, 4), (4, 1, 2), (3, 0, 2)], [1.0, 2.0, 1.0, 2.0, 3.0])
    assert found(given) == [(0, 4), (0, 1), (2, 3)]


def test_parallel_triples_make_different_paths():
    assert sorted(found(result_of(TRIANGLE, [4.0, 3.0, 2.0, 1.0]))) == [(0, 1), (0, 2)]
    assert found(result_of(TRIANGLE, [4.0, 3.0, 2.0, 1.0]), directed=True) == [(0, 2)]


def test_the_test_triple_itself_is_a_path_of_one_hop_and_on_no_longer_one():
    given = result_of([*TRIANGLE, (2, 0, 0)], [4.0, 3.0, 2.0, 1.0, 0.5])
    assert sorted(found(given, fewest_hops=1, most_hops=1)) == [(3,), (4,)]
    assert all(not {3, 4} & set(entries) for entries in found(given, most_hops=4))


def test_triples_from_an_entity_to_itself_are_on_no_path():
    given = result_of([(0, 0, 0), (0, 0, 3), (3, 0, 3), (3, 0, 2), (2, 0, 2)], np.ones(5))
    assert found(given, most_hops=4, fewest_hops=1) == [(1, 3)]


def test_a_test_triple_from_an_entity_to_itself_has_no_path():
    given = result_of([(0, 0, 3), (3, 0, 0)], [1.0, 1.0], test_triples=np.array([[0, 1, 0]]))
    assert found(given) == []


def test_there_may_be_no_path_and_no_triple():
    assert found(result_of([(0, 0, 3), (4, 0, 2)], [1.0, 1.0]), most_hops=4) == []
    assert found(result_of([], [])) == []


def test_further_triples_are_walked_and_opponents_only_if_they_are_wanted():
    given = result_of([(0, 0, 3), (3, 1, 2)], [8.0, 2.0], further=([(0, 0, 4), (4, 1, 2)], [1.0, -0.5]))
    assert found(given) == [(0, 1), (2, 3)]
    assert listed(given).influence.tolist() == [8.0, 2.0, 1.0, -0.5]
    assert found(given, proponents_only=True) == [(0, 1)]
    opposed = result_of([(5, 0, 6), (0, 0, 3), (3, 1, 2)], [-9.0, 2.0, 1.0])
    assert found(opposed, proponents_only=True) == [(1, 2)]


def random_result(seed):
    random = np.random.default_rng(seed)
    number = int(random.integers(1, 25))
    triples = np.column_stack([random.integers(limit, size=number) for limit in (7, 2, 7)])
    return result_of(triples, random.normal(size=number))


def networkx_paths(result, *, fewest, most, directed):
    """Find the paths by entities with networkx, and put all parallel triples in the place of each hop."""
    triples = listed(result).triples.tolist()
    graph = nx.DiGraph() if directed else nx.Graph()
    graph.add_nodes_from([0, 2])
    graph.add_edges_from((head, tail) for head, _, tail in triples)
    paths = []
    for nodes in nx.all_simple_paths(graph, 0, 2, cutoff=most):
        hops = [
            [
                (entry, (head, tail) != hop)
                for entry, (head, _, tail) in enumerate(triples)
                if (head, tail) == hop or (not directed and (tail, head) == hop)
            ]
            for hop in pairwise(nodes)
        ]
        paths += [(tuple(nodes), *zip(*steps, strict=True)) for steps in product(*hops) if len(steps) >= fewest]
    return paths


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize(("fewest", "most"), [(1, 1), (2, 3), (1, 4), (4, 4)])
def test_all_paths_equal_those_of_networkx_on_random_multigraphs(directed, fewest, most, monkeypatch):
    monkeypatch.setattr(walks, "GROWN_TOGETHER", 5)
    total = 0
    for seed in range(40):
        result = random_result(seed)
        paths = tracin_dask.paths_of(result, most_hops=most, fewest_hops=fewest, directed=directed)
        known = [(path.nodes, path.entries, path.backwards) for path in paths]
        assert sorted(known) == sorted(networkx_paths(result, fewest=fewest, most=most, directed=directed))
        total += len(known)
    assert total > 5


def test_the_best_paths_are_kept_and_the_others_counted(monkeypatch):
    monkeypatch.setattr(walks, "GROWN_TOGETHER", 5)
    monkeypatch.setattr(search, "SORTED_TOGETHER", 3)
    result = random_result(3)
    all_paths = tracin_dask.paths_of(result, most_hops=4)
    assert len(all_paths) > 7
    for number in (1, 7, len(all_paths), len(all_paths) + 1):
        some = find_paths(result, 0, PathOptions(most_hops=4, most_paths=number))
        assert (some.paths, some.num_found) == (all_paths[:number], len(all_paths))


def test_paths_of_a_set_connect_each_of_its_members():
    sets = TestSets(names=("both",), of_test=np.array([0, 0, 0]))
    tests = np.array([[0, 1, 2], [4, 1, 2], [0, 0, 2]])
    given = result_of([(0, 0, 3), (3, 1, 2), (4, 0, 3)], [3.0, 2.0, 1.0], test_triples=tests, sets=sets)
    assert [path.nodes for path in tracin_dask.paths_of(given)] == [(0, 3, 2), (4, 3, 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most_hops": 5}, "paths of 2 to 5 hops: expected 1 <= fewest hops <= most hops <= 4"),
        ({"fewest_hops": 0}, "paths of 0 to 3 hops"),
        ({"fewest_hops": 3, "most_hops": 2}, "paths of 3 to 2 hops"),
        ({"measure": "median"}, "'median' is no measure of paths; expected mean, sum, min, geometric, harmonic"),
        ({"most_paths": 0}, "most_paths is 0; expected at least 1"),
        ({"test_index": 1}, "no answer has index 1: the result has 1, counted from 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ConfigError, match=message):
        tracin_dask.paths_of(result_of([(0, 0, 3)], [1.0]), **options)


def test_a_result_of_self_influence_has_no_paths():
    with pytest.raises(ConfigError, match="self-influence has no test triple to find paths for; expected a result"):
        tracin_dask.paths_of(result_of([(0, 0, 3)], [1.0], test_triples=None))
