"""Deletion studies: what is deleted, what is trained, and what is measured."""

from dataclasses import replace

import numpy as np
import pytest
from small_study import PLAIN, RANDOM, SETTINGS, study_in

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.validation.facts import common_predictions, read_facts
from tracin_dask.validation.measured import Measured
from tracin_dask.validation.proponents import proponents
from tracin_dask.validation.rows import AllRows, ChangedRows
from tracin_dask.validation.seeds import seed_for
from tracin_dask.validation.studies.deletion import (
    ALL_FACTS,
    NOTHING_DELETED,
    DeletionPlan,
    deletion,
    ranked_first,
)
from tracin_dask.validation.studies.sufficient import (
    NOTHING_ADDED,
    SufficientPlan,
    added_facts,
    converted_triples,
    sufficient,
)
from tracin_dask.validation.trainings import Training

TRAINED = replace(SETTINGS, num_epochs=25)
PLAN = DeletionPlan(num_tests=4, top_k=(1, 2), num_seeds=2)


@pytest.fixture
def study(tmp_path):
    return study_in(tmp_path / "study", settings=TRAINED)


def values(table):
    return {(row.method, row.condition, row.measure): row.estimate.value for row in table.rows}


def test_proponents_are_the_largest_positive_influences_of_those_that_touch():
    triples = np.array([[0, 0, 1], [2, 0, 0], [3, 0, 4], [5, 0, 0]])
    tests = np.array([[0, 0, 4], [3, 0, 1]])

    class Held:
        def read(self, start, stop):
            return np.array([[1.0, 3.0, 9.0, -2.0], [0.5, 4.0, -1.0, 2.0]])[:, start:stop]

    def found(**options):
        return [rows.tolist() for rows in proponents(Held(), triples, tests, **options)]

    assert found(top_k=2) == [[2, 1], [1, 3]]
    assert found(top_k=3, touching="head") == [[1, 0], []]
    assert found(top_k=3, touching="tail") == [[2], [0]]


def test_deletion_trains_without_the_proponents_of_all_test_triples_together(study):
    table = deletion(replace(study, methods=(PLAIN,)), PLAN)
    predicted = ranked_first(study, np.unique(study.graph.test, axis=0), PLAN.num_tests)
    best = proponents(predicted.explained.by(PLAIN), study.graph.triples, predicted.tests, top_k=2)
    seeds = [seed_for(study.seed, "retraining", index) for index in range(2)]

    def measured(rows):
        return predicted.measured([Training(rows=rows, seed=seed) for seed in seeds])

    before, after = measured(AllRows()), measured(ChangedRows(without=np.concatenate(best)))
    found = values(table)
    assert found[NOTHING_DELETED, "", "margin"] == pytest.approx(before.margin.mean())
    assert found["plain", "k = 2", "margin"] == pytest.approx(after.margin.mean())
    assert found["plain", "k = 2", "MRR"] == pytest.approx((1 / after.rank).mean())
    assert found["plain", "k = 2", "Hits@1"] == pytest.approx((after.rank == 1).mean())
    assert found["plain", "k = 2", "fall of margin"] == pytest.approx((before.margin - after.margin).mean())
    assert found["plain", "k = 2", "fall of MRR"] == pytest.approx((1 / before.rank - 1 / after.rank).mean())


def test_only_test_triples_that_the_model_ranks_first_are_explained(study):
    predicted = ranked_first(study, np.unique(study.graph.test, axis=0), 100)
    ranks = predicted.bench.measured(predicted.explained.trainings).rank[0]
    np.testing.assert_array_equal(predicted.places, np.flatnonzero(ranks == 1))


def test_a_model_that_ranks_nothing_first_is_refused(study):
    weak = replace(study, settings=replace(SETTINGS, num_epochs=1, learning_rate=1e-6))
    pool = np.array([[0, 0, 1]])
    with pytest.raises(ConfigError, match=r"ranks none of 1 test triples first.*train it longer"):
        ranked_first(weak, pool, 5)


def test_singly_each_test_triple_is_measured_without_its_own_proponents(study):
    table = deletion(replace(study, methods=(PLAIN,)), replace(PLAN, top_k=(1,), singly=True))
    predicted = ranked_first(study, np.unique(study.graph.test, axis=0), PLAN.num_tests)
    best = proponents(predicted.explained.by(PLAIN), study.graph.triples, predicted.tests, top_k=1)
    margins = [
        predicted.measured(
            [Training(rows=ChangedRows(without=rows), seed=seed_for(study.seed, "retraining", index))]
        ).margin[0, test]
        for test, rows in enumerate(best)
        for index in range(2)
    ]
    assert values(table)["plain", "k = 1", "margin"] == pytest.approx(np.mean(margins))


def test_of_models_for_one_test_triple_each_only_that_one_is_kept():
    numbers = np.arange(12).reshape(6, 2)  # 2 test triples with 3 models each
    found = Measured(score=numbers * 1.0, loss=numbers * 1.0, margin=numbers * 1.0, rank=numbers).diagonal(3)
    assert found.rank.tolist() == [[0, 7], [2, 9], [4, 11]]


@pytest.fixture
def facts_file(study, tmp_path):
    """A file in which every test triple is explained by the first two training triples of its head."""
    path = tmp_path / "elsewhere.tsv"
    store, lines = study.graph.store, []
    for test in study.graph.test:
        for fact in study.graph.triples[study.graph.triples[:, 0] == test[0]][:2]:
            labels = [store.entities.label(fact[0]), store.relations.label(fact[1]), store.entities.label(fact[2])]
            lines.append("\t".join([f"e{test[0]}", f"r{test[1]}", f"e{test[2]}", *labels]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_facts_of_a_file_are_deleted_for_its_predictions(study, facts_file):
    facts = read_facts(facts_file, study.graph)
    assert facts.name == "elsewhere"
    test = tuple(study.graph.test[0].tolist())
    assert {int(study.graph.triples[row, 0]) for row in facts.rows[test]} == {test[0]}
    table = deletion(replace(study, methods=(RANDOM,)), replace(PLAN, facts=(facts,)))
    assert ("elsewhere", ALL_FACTS, "MRR") in values(table)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("e1\tr0\te2", r"elsewhere.tsv:2: 3 field\(s\); expected a prediction and a fact"),
        ("e1\tr0\te2\tnobody\tr0\te2", r"elsewhere.tsv:2: the graph has no entity 'nobody'"),
        ("e1\tr9\te2\te1\tr0\te2", r"elsewhere.tsv:2: the graph has no relation 'r9'"),
        ("e1\tr0\te2\te0\tr0\te1", r"elsewhere.tsv:2: e0 r0 e1 is no training triple"),
    ],
)
def test_a_wrong_line_of_facts_is_refused_with_its_number(study, facts_file, line, message):
    first = facts_file.read_text().splitlines()[0]
    facts_file.write_text(f"{first}\n{line}\n")
    with pytest.raises(TriplesError, match=message):
        read_facts(facts_file, study.graph)


def test_files_of_facts_are_compared_on_their_common_predictions(study, facts_file):
    facts = read_facts(facts_file, study.graph)
    first, second, *_ = facts.rows
    one = replace(facts, rows={first: facts.rows[first]})
    assert common_predictions((facts, one)).tolist() == [list(first)]
    with pytest.raises(ConfigError, match="have no prediction in common"):
        common_predictions((one, replace(facts, rows={second: facts.rows[second]})))


def test_sufficient_facts_are_those_of_the_head_with_the_other_entity_in_its_place(study):
    predicted = ranked_first(study, np.unique(study.graph.test, axis=0), 4)
    converted = converted_triples(study, predicted, 3)
    known = {tuple(triple) for triple in np.concatenate([study.graph.triples, study.graph.test]).tolist()}
    assert np.bincount(converted.test).max() <= 3
    assert known.isdisjoint(map(tuple, converted.triples.tolist()))
    np.testing.assert_array_equal(converted.triples[:, 1:], predicted.tests[converted.test][:, 1:])
    head = predicted.tests[0, 0]
    rows = [np.flatnonzero(study.graph.triples[:, 0] == head)[:2], *[np.empty(0, dtype=int)] * 3]
    added = {tuple(triple) for triple in added_facts(study, predicted, converted, rows).tolist()}
    expected = {
        (int(entity), int(relation), int(entity if tail == head else tail))
        for entity in converted.triples[converted.test == 0][:, 0]
        for _, relation, tail in study.graph.triples[rows[0]]
    }
    assert added == expected - known - {tuple(triple) for triple in converted.triples.tolist()}
    assert added


def test_sufficient_explanations_are_measured_on_other_heads(study):
    plan = SufficientPlan(num_tests=4, top_k=(2,), num_seeds=2, num_entities=2)
    found = values(sufficient(replace(study, methods=(PLAIN,)), plan))
    before, after = found[NOTHING_ADDED, "", "MRR"], found["plain", "k = 2", "MRR"]
    assert found["plain", "k = 2", "rise of MRR"] == pytest.approx(after - before)
    assert before < 1
