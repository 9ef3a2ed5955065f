"""The check against plain autograd notices when any term is left out of the engine for any model."""

from dataclasses import replace

import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.any_model import ask, face, of_negatives, truth_of
from influence.dropped import drop, entries, noticed_uses
from influence.indexed import parts, self_influence
from influence.test_gradient_engine import engine_for
from influence.test_preconditioned_gradients import engine_for as engine_with_preconditioner
from influence.test_preconditioned_gradients import error, norm_errors, scores, truth_of_sums
from influence.test_preconditioned_gradients import truth_of as truth_with_preconditioner

from tracin_dask.influence.autograd import derivatives, scorer, terms
from tracin_dask.influence.autograd.derivatives import DENSE, ENTITY, RELATION, Derivatives
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.scorer import GradientScorer
from tracin_dask.influence.losses import SLCWA

TENSORS = {
    ENTITY: ["entities"],
    RELATION: ["relations.weight"],
    DENSE: ["mix.weight", "mix.bias", "sharpness"],
}
EVERYTHING = [name for names in TENSORS.values() for name in names]
NEGATIVES = SLCWA(num_negatives=2, seed=3)


def tensors(kinds):
    return [name for kind in sorted(kinds) for name in TENSORS[kind]]


def scores_agree(tracked=EVERYTHING, *, forward=True, change=lambda factors: factors):
    """Score with the engine for any model, the test triples' factors changed; tell whether autograd agrees."""
    engine, truth = engine_for(face("own"), tracked, forward=forward), truth_of("own")
    with torch.no_grad():
        factors = change(engine.prepare(TEST, batch_size=8))
        (found,) = parts(engine.scorer(factors), TRAIN.numpy())
        found = found.influences / LEARNING_RATE
    expected, bound = truth.together(tracked)
    return bool(((found - expected).abs() <= ROUNDING * bound).all())


def squares_agree(tracked=EVERYTHING, loss=None):
    """Do the same for each triple's gradient with itself."""
    truth = truth_of("own") if loss is None else ask(face("own").model, TRAIN, TEST[:1], of_negatives(loss))
    with torch.no_grad():
        found = self_influence(engine_for(face("own"), tracked, loss=loss), TRAIN) / LEARNING_RATE
    expected = torch.stack([truth.train_norms[name] for name in tracked]).norm(dim=0).square()
    return bool(((found - expected).abs() <= ROUNDING * expected).all())


def test_any_model_influences_with_every_term_agree_with_autograd():
    for tracked in (EVERYTHING, *TENSORS.values()):
        assert scores_agree(tracked)
        assert scores_agree(tracked, forward=False)
        assert squares_agree(tracked)
        assert squares_agree(tracked, NEGATIVES)


@pytest.mark.parametrize(("module", "table", "term"), entries(scorer, "ROW_TERMS"))
def test_any_model_influences_without_a_term_of_rows_disagree(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    assert not scores_agree(tensors(term.tensors))
    assert not scores_agree()


@pytest.mark.parametrize("forward", [False, True])
def test_any_model_influences_without_the_dense_tensors_disagree(forward, monkeypatch):
    monkeypatch.setattr(
        GradientScorer, "_dense_products", lambda _, ids, _loss: torch.zeros(len(ids), len(TEST), dtype=torch.float64)
    )
    assert not scores_agree(forward=forward)


def test_any_model_influences_without_one_of_several_dense_tensors_disagree(monkeypatch):
    of_each = Derivatives.of_each

    def without_one(self, triples):
        found, gradients = of_each(self, triples)
        return found, {name: gradient for name, gradient in gradients.items() if name != "mix.bias"}

    def forgets(factors):
        monkeypatch.setattr(Derivatives, "of_each", without_one)
        return factors

    assert not scores_agree(TENSORS[DENSE], forward=False, change=forgets)


@pytest.mark.parametrize("kind", TENSORS)
def test_any_model_influences_without_the_training_losses_derivatives_disagree(kind, monkeypatch):
    def forgets(factors):
        monkeypatch.setattr(GradientScorer, "_delta", lambda _, scores, _loss: torch.ones_like(scores)[:, None])
        return factors

    assert not scores_agree(TENSORS[kind], change=forgets)


def test_any_model_influences_without_the_test_losses_derivatives_disagree():
    assert not scores_agree(change=lambda factors: replace(factors, scale=torch.ones_like(factors.scale)))


def test_any_model_influences_without_the_tail_of_a_loop_disagree(monkeypatch):
    in_one_place = derivatives.in_one_place
    monkeypatch.setattr(
        derivatives, "in_one_place", lambda head, tail, triples: (head, in_one_place(head, tail, triples)[1])
    )
    assert not scores_agree()


def test_any_model_self_influences_with_head_and_tail_of_a_loop_apart_disagree(monkeypatch):
    monkeypatch.setattr(derivatives, "in_one_place", lambda head, tail, _: (head, tail))
    assert not squares_agree()


@pytest.mark.parametrize(("module", "table", "term"), entries(terms, "SQUARES"))
def test_any_model_self_influences_without_a_term_disagree(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    assert not squares_agree(tensors(term.tensors))
    assert not squares_agree()


def test_any_model_self_influences_without_the_losses_derivatives_disagree(monkeypatch):
    monkeypatch.setattr(GradientEngine, "delta", lambda _, found: torch.ones_like(found))
    assert not squares_agree()


@pytest.mark.parametrize(("module", "table", "term"), entries(terms, "PRODUCTS_WITHIN"))
def test_any_model_self_influences_of_corrupted_triples_without_a_term_disagree(module, table, term, monkeypatch):
    drop(monkeypatch, module, table, term.name)
    assert not squares_agree(tensors(term.tensors), NEGATIVES)
    assert not squares_agree(loss=NEGATIVES)


# P stands in a product for the heads, the relations, the tails and each of three dense tensors.
def test_any_model_influences_with_one_use_of_the_preconditioner_left_out_disagree():
    truth = truth_with_preconditioner("own")
    engine = engine_with_preconditioner("own", truth.products)
    assert noticed_uses(lambda: error(scores(engine, batch_size=8), truth, truth.products) <= ROUNDING) == (6, 6)


def test_any_model_self_influences_with_one_use_of_the_preconditioner_left_out_disagree():
    truth = truth_with_preconditioner("own")
    engine = engine_with_preconditioner("own", truth.products)
    expected = torch.stack(list(truth.train_norms.values())).norm(dim=0).square()

    def agrees():
        with torch.no_grad():
            found = engine.self_influence(TRAIN) / LEARNING_RATE
        return bool(((found - expected).abs() <= ROUNDING * expected).all())

    assert noticed_uses(agrees) == (6, 6)


def test_any_model_norms_of_sums_with_one_use_of_the_preconditioner_left_out_disagree():
    truth_of_sums("own")
    noticed, uses = noticed_uses(lambda: max(norm_errors("own")) <= 1e-7)
    assert noticed == uses == 12  # of either side
