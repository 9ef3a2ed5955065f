"""The check against the oracle notices when any term is left out that only losses of all scores have."""

from dataclasses import replace
from functools import cache

import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import DIALECTS, Case, Disagreement, case_of, check_scores, check_self_influence
from influence.dropped import drop, entries, skip

from tracin_dask.influence.conve import all_scores, scorer, separable_scores
from tracin_dask.influence.conve.all_scores import MovedTails
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.separable_scores import SeparableReader
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, FC_WEIGHT, RELATIONS
from tracin_dask.influence.conve.terms import all_scores as input_terms
from tracin_dask.influence.conve.terms import all_scores_norm, at_all_scores, at_own_score, rows
from tracin_dask.influence.losses import OneToAll

SMOOTH = OneToAll(label_smoothing=0.1)
ALL_SCORES = Modes(all_scores=True)
OF_SCORES = [
    *entries(at_all_scores, "ALL_SCORES_TERMS", but=["moved tails through P"]),  # where there is a preconditioner
    *entries(input_terms, "INPUT_TERMS"),
]


@cache
def case(explain: str = "loss") -> Case:
    loss = oracle.of_all_scores(SMOOTH.value)
    test_loss = loss if explain == "loss" else oracle.of_own_score(lambda scores: -scores)
    return case_of(random_model(**DIALECTS["height"]), loss=loss, test_loss=test_loss)


def refuse(check, tensors, **options):
    """See that influences of some tensors disagree."""
    with pytest.raises(Disagreement):
        check(case(options.get("explain", "loss")), sorted(tensors), loss=SMOOTH, modes=ALL_SCORES, **options)


@pytest.mark.parametrize("explain", ["loss", "score"])
def test_scores_with_every_term_of_all_scores_agree_with_the_oracle(explain):
    for tracked in [*([name] for name in case(explain).names), case(explain).names]:
        check_scores(case(explain), tracked, loss=SMOOTH, modes=ALL_SCORES, explain=explain)


@pytest.mark.parametrize(("module", "table", "term"), OF_SCORES)
def test_scores_without_a_term_of_all_scores_disagree_with_the_oracle(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    refuse(check_scores, term.tensors)


@pytest.mark.parametrize(
    ("module", "table", "term"), [*entries(at_own_score, "OWN_SCORE_TERMS"), *entries(input_terms, "INPUT_TERMS")]
)
def test_scores_against_gradients_of_own_scores_without_a_term_disagree(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    refuse(check_scores, term.tensors, explain="score")


@pytest.mark.parametrize(("module", "table", "term"), entries(all_scores_norm, "ALL_SCORES_SQUARES"))
def test_self_influences_without_a_term_of_all_scores_disagree_with_the_oracle(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    refuse(check_self_influence, term.tensors)


def test_scores_under_all_scores_without_the_relation_rows_disagree_with_the_oracle(monkeypatch):
    drop(monkeypatch, rows, "ROW_TERMS", "relation row meets test relation")
    refuse(check_scores, {RELATIONS})


@pytest.mark.parametrize("tensor", [ENTITY_BIAS, FC_WEIGHT])  # in the products of gradients at scores; at the output
@pytest.mark.parametrize("check", [check_scores, check_self_influence])
def test_scores_with_one_tail_for_all_triples_of_a_pair_disagree_with_the_oracle(check, tensor, monkeypatch):
    none = torch.empty(0, dtype=torch.int64)
    moved = MovedTails(rows=none, pairs=none, tails=none, pair_tails=none)
    monkeypatch.setattr(all_scores, "moved_tails", lambda *_: moved)
    refuse(check, {tensor})


@pytest.mark.parametrize("tensor", [ENTITY_BIAS, ENTITIES])
def test_self_influences_with_the_squares_of_pairs_disagree_with_the_oracle(tensor, monkeypatch):
    monkeypatch.setattr(SeparableReader, "moved_squares", lambda _, x, entities: x.new_zeros(entities.shape))
    refuse(check_self_influence, {tensor})


@pytest.mark.parametrize(
    ("check", "step", "tensor"),
    [
        (check_scores, "put_at_tails", FC_WEIGHT),
        (check_self_influence, "put_at_tails", FC_WEIGHT),
        (check_scores, "put_where", ENTITIES),  # a test triple's head that is the tail
        (check_self_influence, "put_where", ENTITIES),  # a head that is the tail
    ],
)
def test_gradients_that_are_not_lower_at_the_tail_disagree_with_the_oracle(check, step, tensor, monkeypatch):
    skip(monkeypatch, separable_scores, step)
    refuse(check, {tensor})


@pytest.mark.parametrize("check", [check_scores, check_self_influence])
def test_scores_without_the_entity_bias_disagree_with_the_oracle(check):
    def without(engine):
        return replace(engine, model=replace(engine.model, entity_bias=torch.zeros_like(engine.model.entity_bias)))

    refuse(check, {FC_WEIGHT}, change=without)


def test_scores_without_the_region_of_the_head_disagree_with_the_oracle(monkeypatch):
    monkeypatch.setattr(scorer, "INPUT_REGIONS", frozenset({Sees.BOTH}))
    refuse(check_scores, {ENTITIES})
