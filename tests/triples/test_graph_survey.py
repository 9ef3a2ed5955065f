"""Counts, degrees, components, relations and types of a graph, against plain Python and networkx."""

from collections import Counter

import networkx as nx
import numpy as np
import pytest
from whole_graphs import graph_of

from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.preparing import relation_table
from tracin_dask.triples.preparing.findings import findings_in
from tracin_dask.triples.preparing.held_out_survey import survey_held_out
from tracin_dask.triples.preparing.kinds import look_alikes, prefixes_of
from tracin_dask.triples.preparing.survey import counts, survey_graph
from tracin_dask.triples.preparing.whole_graph import FileReading


@pytest.fixture(scope="module")
def lines():
    random = np.random.default_rng(2)
    drawn = [
        (f"e{head}", f"r{relation}", f"e{tail}")
        for head, relation, tail in zip(
            random.integers(40, size=300), random.integers(4, size=300), random.integers(40, size=300), strict=True
        )
    ]
    return [*drawn, *drawn[:20], *((tail, "turned", head) for head, kind, tail in drawn if kind == "r1")]


@pytest.fixture(scope="module")
def survey(lines):
    return survey_graph(graph_of([*lines, ("island", "r0", "beach")]))


def words(survey):
    return " ".join(finding.what for finding in findings_in(survey))


def test_counts_are_those_of_a_plain_loop(survey, lines):
    lines = [*lines, ("island", "r0", "beach")]
    distinct = set(lines)
    found = counts(survey)
    assert found["lines"] == len(lines)
    assert found["distinct triples"] == len(distinct)
    assert found["duplicates"] == len(lines) - len(distinct)
    assert found["self-loops"] == sum(head == tail for head, _, tail in distinct)
    assert found["entities"] == len({end for head, _, tail in distinct for end in (head, tail)})


def test_degrees_are_those_of_a_plain_loop(survey, lines):
    degree = Counter(end for head, _, tail in {*lines, ("island", "r0", "beach")} for end in {head, tail})
    entities = survey.graph.entities.labels.to_pylist()
    assert dict(zip(entities, survey.degrees.of_entity.tolist(), strict=True)) == degree
    values = sorted(degree.values())
    assert (survey.degrees.least, survey.degrees.most) == (values[0], values[-1])
    assert survey.degrees.median == np.median(values)
    assert survey.degrees.percentile_99 == np.percentile(values, 99)
    hubs = [degree[survey.graph.entities.label(number)] for number in survey.degrees.hubs]
    assert hubs == sorted(values, reverse=True)[:10]


def test_components_are_those_of_networkx(survey, lines):
    graph = nx.Graph([(head, tail) for head, _, tail in [*lines, ("island", "r0", "beach")]])
    expected = sorted(map(len, nx.connected_components(graph)), reverse=True)
    assert survey.components.entities.tolist() == expected
    assert survey.graph.entities.label(survey.components.examples[1]) == "beach"
    assert "2 entities are not connected with the largest one, e.g. beach" in words(survey)


@pytest.mark.parametrize("joined", [1 << 22, 3])
def test_relations_are_those_of_a_plain_loop_in_pieces_of_any_size(lines, monkeypatch, joined):
    monkeypatch.setattr(relation_table, "JOINED", joined)
    survey = survey_graph(graph_of(lines))
    pairs = {}
    for head, relation, tail in set(lines):
        pairs.setdefault(relation, set()).add((head, tail))
    assert [row.triples for row in survey.relations] == sorted(map(len, pairs.values()), reverse=True)
    for row in survey.relations:
        mine = pairs[survey.graph.relations.label(row.relation)]
        turned = {(tail, head) for head, tail in mine if head != tail}
        assert (row.heads, row.tails) == (len({h for h, _ in mine}), len({t for _, t in mine}))
        assert row.symmetric == pytest.approx(len(turned & mine) / len(turned))
        others = {name: theirs for name, theirs in pairs.items() if theirs is not mine}
        assert row.inverse.share == pytest.approx(max(len(turned & theirs) for theirs in others.values()) / len(mine))
        assert row.repeated.share == pytest.approx(max(len(mine & theirs) for theirs in others.values()) / len(mine))
    assert "nearly inverse to another one" in words(survey)


def test_the_inverse_of_a_relation_is_found(survey):
    rows = {survey.graph.relations.label(row.relation): row for row in survey.relations}
    other = rows["turned"].inverse
    assert survey.graph.relations.label(other.relation) == "r1"
    assert other.share > 0.9
    assert "r1 to turned" in words(survey)
    assert "turned to r1" in words(survey)


def test_labels_that_differ_by_case_or_blanks_are_found():
    found = look_alikes(IdMap.of(["Aspirin", "b", "aspirin", "c  d", "c d", "e"]))
    assert found.number == 4
    assert found.examples == (("Aspirin", "aspirin"), ("c  d", "c d"))
    assert look_alikes(IdMap.of(["a", "b"])) is None


def test_prefixes_are_what_stands_before_the_first_colon():
    labels = IdMap.of(["CHEBI:1", "Compound::DB1", "plain", ":x"]).labels
    assert prefixes_of(labels).to_pylist() == ["CHEBI", "Compound", "", ""]


def test_entities_and_relations_of_the_maps_without_triples_are_named():
    survey = survey_graph(graph_of([("a", "r", "b")], ["a", "b", "never"], ["r", "unused"], has_maps=True))
    assert counts(survey)["entities without triples"] == 1
    assert "1 entities of the id map have no triple, e.g. never" in words(survey)
    assert "relations of the id map without triples: unused" in words(survey)


def test_test_triples_are_counted_by_what_is_wrong_with_them(tmp_path):
    graph = graph_of([("a", "r", "b"), ("c", "s", "a"), ("b", "s", "c")], ["a", "b", "c", "never"], ["r", "s", "t"])
    lines = [
        "a\tr\tb",  # in training
        "a\ts\tb",  # the same pair
        "a\tr\tc",  # the inverse pair
        "a\tr\tnever",
        "a\tt\ta",  # a relation without triples
        "a\tr\tunheard",
    ]
    (tmp_path / "test.txt").write_text("".join(f"{line}\n" for line in lines))
    survey = survey_graph(graph)
    found = survey_held_out(tmp_path / "test.txt", graph, survey.degrees.of_entity, FileReading())
    assert (found.triples, found.unknown, found.untrained, found.in_training) == (6, 1, 2, 1)
    assert (found.same_pair, found.inverse_pair) == (1, 1)
    assert found.example_untrained == "never"


def test_a_malformed_line_of_test_triples_is_refused(tmp_path):
    (tmp_path / "test.txt").write_text("a\tr\tb\nc\n")
    graph = graph_of([("a", "r", "b")])
    with pytest.raises(ValueError, match=r"test.txt, line 2: wrong number of columns"):
        survey_held_out(tmp_path / "test.txt", graph, np.ones(2, np.int64), FileReading())
