"""The engine for any model agrees with plain autograd on that model, tensor by tensor."""

import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.any_model import SETTINGS, face, truth_of

from tracin_dask.influence.gradient_engine import GradientEngine
from tracin_dask.influence.losses import BinaryCrossEntropy
from tracin_dask.influence.modes import GradientModes
from tracin_dask.influence.negatives import make_scorer
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
