"""Columns of truth mark the training triples that edges, paths and the user's own triples name."""

from dataclasses import replace

import numpy as np
import pytest
from made_truth import COLUMNS, DISEASE, DRUG, ENTRIES, TRUTH, hand_made, texts

from tracin_dask.errors import ResultError, TruthError
from tracin_dask.report.labels import Labels
from tracin_dask.report.sets import TestSets
from tracin_dask.report.truth.columns import known_of, truth_columns
from tracin_dask.report.truth.relations import Relations
from tracin_dask.report.truth.values import KnownEdges, KnownPath, KnownPaths, OwnTruth, Truth


def marked(result, truth, test_index=0):
    return {name: np.flatnonzero(found).tolist() for name, found in truth_columns(result, truth, test_index).items()}


def test_all_paths_of_a_pair_count_and_no_others():
    assert marked(hand_made(), TRUTH) == COLUMNS


def test_the_test_triple_may_lead_from_the_disease_to_the_drug():
    assert marked(hand_made(tests=((DISEASE, 0, DRUG),)), TRUTH) == COLUMNS


def test_a_pair_without_a_path_has_only_known_edges():
    found = marked(hand_made(tests=((3, 0, 2),)), TRUTH)
    assert {name for name, places in found.items() if places} == {"is_ground_truth", "is_ground_truth_strict"}


def test_every_test_triple_of_many_gets_the_columns_of_its_own_pair():
    result = hand_made(tests=((DRUG, 0, DISEASE), (5, 0, DISEASE)))
    known = known_of(result, TRUTH)
    assert marked(result, known, 0) == COLUMNS
    assert marked(result, known, 1)["on_specific_path"] == [3]
    assert marked(result, known, 1)["in_path"] == [0, 3]


def test_a_set_of_test_triples_has_what_is_known_of_any_member():
    sets = TestSets(names=("both",), of_test=np.array([0, 0]))
    alone = hand_made()
    result = replace(alone, test_triples=np.array([[DRUG, 0, DISEASE], [5, 0, DISEASE]]), sets=sets)
    assert marked(result, TRUTH)["in_path"] == [0, 1, 2, 3, 4, 6]


def test_predicates_of_the_path_file_count_before_those_of_edges():
    path = KnownPath(drug="D:1", disease="M:1", intermediates=("G:1",), predicates=("biolink:treats", "biolink:causes"))
    truth = Truth(edges=TRUTH.edges, paths=KnownPaths(paths=(path,)))
    assert marked(hand_made(), truth)["on_specific_path_strict"] == [3]
    named = replace(path, predicates=("biolink:affects (expression, increased)", "biolink:treats"))
    truth = Truth(edges=TRUTH.edges, paths=KnownPaths(paths=(named,)))
    assert marked(hand_made(), truth)["on_specific_path_strict"] == [1]


def test_without_predicates_a_strict_step_needs_its_direction_only():
    assert marked(hand_made(), Truth(paths=TRUTH.paths))["on_specific_path_strict"] == [1, 3, 6]


@pytest.mark.parametrize(
    ("predicate", "loose", "strict"),
    [
        ("biolink:affects", [1, 2, 5], [2]),
        ("biolink:affects (expression, increased)", [1], [1]),
        ("predicate:1", [1], [1]),
        ("biolink:affects (activity)", [], []),
        ("affects", [], []),
        ("twin (a)", [3, 4], [3, 4]),
    ],
)
def test_a_predicate_names_relations_of_its_base_and_strictly_equal_ones(predicate, loose, strict):
    labels = [f"predicate:{number}" for number in range(6)]
    names = ["biolink:treats", "biolink:affects (expression, increased)", "biolink:affects", "twin (a) [predicate:3]"]
    names += ["twin (a) [predicate:4]", "biolink:affects (subject activity)"]
    relations = Relations.of(np.arange(6), labels, names)
    assert sorted(relations.ids(predicate, strict=False)) == loose
    assert sorted(relations.ids(predicate, strict=True)) == strict


def own(*known, test=("D:1", "predicate:0", "M:1"), everywhere=()):
    return Truth(own=OwnTruth(of_test={test: known}, everywhere=everywhere))


def test_own_triples_hold_for_their_test_triple_or_for_all():
    result = hand_made(tests=((DRUG, 0, DISEASE), (5, 0, DISEASE)))
    truth = own(("D:1", "predicate:3", "M:1"), everywhere=(("D:2", "biolink:treats", "M:1"),))
    assert marked(result, truth, 0) == {"is_true": [0, 4]}
    assert marked(result, truth, 1) == {"is_true": [0]}


def test_own_triples_may_be_ids_unless_labels_are_integers():
    result = hand_made()
    triple, test = (str(ENTRIES[4][0]), "3", "4"), ("0", "0", "4")
    assert marked(result, own(triple, test=test)) == {"is_true": [4]}
    numbers = texts([(f"{9 - number}", None) for number in range(6)])
    numbered = replace(result, labels=Labels(entities=numbers, relations=result.labels.relations))
    assert marked(numbered, own(triple, test=test)) == {"is_true": []}
    labelled = own(("9", "predicate:3", "5"), test=("9", "predicate:0", "5"))
    assert marked(numbered, labelled) == {"is_true": [4]}


def test_a_relation_that_reads_like_two_is_refused_in_own_triples():
    result = hand_made()
    relations = texts([(f"predicate:{number}", f"twin [predicate:{number}]") for number in range(4)])
    twins = replace(result, labels=Labels(entities=result.labels.entities, relations=relations))
    with pytest.raises(TruthError, match=r"'twin' of D:1 twin M:1 reads like 4 relations; name it by its label"):
        truth_columns(twins, own(("D:1", "twin", "M:1")))


def test_what_nothing_matches_is_counted_by_kind():
    truth = Truth(
        edges=KnownEdges(triples=(("D:1", "treats", "M:1"), ("X", "biolink:treats", "M:1"))),
        paths=KnownPaths(paths=(KnownPath(drug="Y", disease="M:1", intermediates=("G:1", "Z")),)),
    )
    unmatched = known_of(hand_made(), truth).unmatched
    counts = {kind: (about["unmatched"], about["stated"]) for kind, about in unmatched.to_dict().items()}
    assert counts == {
        "subjects and objects of edges": (1, 3),
        "predicates of edges": (1, 2),
        "drugs and diseases of paths": (1, 2),
        "intermediates of paths": (1, 2),
        "edges": (2, 2),
    }
    assert "1 of 2 predicates of edges are no label of a test triple or a listed training triple, e.g. treats" in (
        unmatched.lines()
    )


def test_paths_are_refused_for_self_influence():
    with pytest.raises(ResultError, match="self-influence and has no test triples"):
        truth_columns(hand_made(test_triples=None), TRUTH)
    edges = Truth(edges=TRUTH.edges)
    assert marked(hand_made(test_triples=None), edges)["is_ground_truth"] == [1, 3]
