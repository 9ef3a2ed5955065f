"""The engine for any model agrees with plain autograd on that model, tensor by tensor."""

import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.any_model import SETTINGS, face, truth_of

from tracin_dask.influence.gradient_engine import GradientEngine
from tracin_dask.influence.losses import BinaryCrossEntropy
from tracin_dask.influence.modes import GradientModes
from tracin_dask.influence.negatives import make_scorer, self_influence
from tracin_dask.influence.questions import Question, prepare_question

MODELS = [*SETTINGS, "own"]


def engine_for(model, tracked, *, forward=False, loss=None):
    return GradientEngine(
        model=model,
        tracked=frozenset(tracked),
        loss=loss or BinaryCrossEntropy(),
        learning_rate=LEARNING_RATE,
        modes=GradientModes(has_dense=model.config.dense_size(frozenset(tracked)) > 0, forward=forward),
    )


def scores(engine, train=TRAIN, test=TEST, question=None):
    with torch.no_grad():
        prepared = prepare_question(engine, question or Question(), test.numpy(), batch_size=3)
        scorer = make_scorer(engine, prepared, len(test))
        (part,) = scorer.parts(train.numpy())
    assert part.rows.tolist() == list(range(len(train)))
    return part.influences / LEARNING_RATE


def own(engine):
    with torch.no_grad():
        return self_influence(engine, TRAIN) / LEARNING_RATE


def check(found, truth, names, rounding=ROUNDING):
    expected, bound = truth.together(names)
    assert ((found - expected).abs() <= rounding * bound).all(), names


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_by_itself_and_all_of_them_agree_with_autograd(name):
    model, truth = face(name), truth_of(name)
    assert set(model.config.parameter_names) == set(truth.products)
    for tracked in ([n] for n in truth.products):
        for forward in (False, True):
            check(scores(engine_for(model, tracked, forward=forward)), truth, tracked)
    everything = list(truth.products)
    for forward in (False, True):
        check(scores(engine_for(model, everything, forward=forward)), truth, everything)


def of_parts(tracked, truth):
    return torch.stack([truth.train_norms[name] for name in tracked]).norm(dim=0).square()


@pytest.mark.parametrize("name", MODELS)
def test_self_influence_agrees_with_autograd(name):
    model, truth = face(name), truth_of(name)
    for tracked in (*([n] for n in truth.products), list(truth.products)):
        found = own(engine_for(model, tracked))
        expected = of_parts(tracked, truth)
        assert ((found - expected).abs() <= ROUNDING * expected).all(), tracked


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_pieces_of_a_batch_give_what_it_gives_as_a_whole(name, forward, monkeypatch):
    model, truth = face(name), truth_of(name)
    monkeypatch.setattr("tracin_dask.influence.gradient_cost.LARGEST_PIECE", 3)
    monkeypatch.setattr("tracin_dask.influence.derivatives.DIRECTIONS_AT_A_TIME", 3)
    check(scores(engine_for(model, truth.products, forward=forward)), truth, list(truth.products))
    found = own(engine_for(model, truth.products))
    expected = of_parts(truth.products, truth)
    assert ((found - expected).abs() <= ROUNDING * expected).all()


@pytest.mark.parametrize("name", MODELS)
def test_float32_agrees_with_float64_to_its_own_precision(name):
    truth = truth_of(name)
    engine = engine_for(face(name, torch.float32), truth.products, forward=True)
    assert scores(engine).dtype == torch.float32
    check(scores(engine).double(), truth, list(truth.products), rounding=1e-4)
