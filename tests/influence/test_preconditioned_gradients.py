"""The engine for any model puts Adam's preconditioner between gradients as plain autograd times P has it."""

from dataclasses import replace
from functools import cache

import numpy as np
import oracle
import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.any_model import NUM_ENTITIES, NUM_RELATIONS, ask, face, of_negatives, step
from influence.indexed import parts, self_influence, training_lengths
from influence.live_bytes import LiveBytes
from influence.tiled import tile

from tracin_dask.errors import ConfigError
from tracin_dask.influence.autograd import cost as gradient_cost
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.autograd.preconditioned import layout_of
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy
from tracin_dask.influence.normalised import question_lengths
from tracin_dask.influence.preconditioners.diagonal import laid_out
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.whole_model import face_of

MODELS = ["DistMult", "TuckER", "own", "dense"]
OTHER_TAILS = (TEST[:, 2] + 3) % NUM_ENTITIES


@cache
def trained(name):
    """Take steps of Adam on triples of all ids; give the model, and what Adam multiplies gradients with then."""
    model, generator = face(name).model, torch.Generator().manual_seed(2)
    limits = (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)
    triples = torch.stack([torch.randint(limit, (60,), generator=generator) for limit in limits], dim=1)
    optimizer = step(model, triples)
    return face_of(model), oracle.adam_scales(model, optimizer)


@cache
def truth_of(name):
    model, scales = trained(name)
    return ask(model.model, TRAIN, TEST, scales=scales)


def engine_for(name, tracked, *, forward=False, loss=None):
    (model, scales), tracked = trained(name), frozenset(tracked)
    return GradientEngine(
        model=model,
        tracked=tracked,
        loss=loss or BinaryCrossEntropy(),
        learning_rate=LEARNING_RATE,
        modes=GradientModes(has_dense=model.config.dense_size(tracked) > 0, forward=forward),
        preconditioner=laid_out({n: scales[n] for n in tracked}, layout_of(model.config)),
    )


def targets():
    return Targets(triples=TEST.numpy(), contrast_tails=OTHER_TAILS.numpy())


def scores(engine, question=None, batch_size=3):
    with torch.no_grad():
        test = prepare_question(engine, question or Question(), targets(), batch_size=batch_size)
        (part,) = parts(make_scorer(engine, test, EachItsOwn(num_answers=len(TEST))), TRAIN.numpy())
    return part.influences / LEARNING_RATE


def error(found, truth, names):
    """Give the largest difference, as a part of what Cauchy and Schwarz allow in Adam's norm."""
    expected, bound = truth.together(names)
    return float(((found - expected).abs() / bound.clamp_min(1e-300)).max())


@pytest.mark.parametrize("name", MODELS)
def test_preconditioned_influences_of_other_models_agree_with_autograd_for_every_tensor(name):
    truth = truth_of(name)
    for tracked in (*([tensor] for tensor in truth.products), list(truth.products)):
        for forward in (False, True):
            assert error(scores(engine_for(name, tracked, forward=forward)), truth, tracked) <= ROUNDING, tracked
        with torch.no_grad():
            own = engine_for(name, tracked).self_influence(TRAIN) / LEARNING_RATE
        expected = torch.stack([truth.train_norms[tensor] for tensor in tracked]).norm(dim=0).square()
        assert ((own - expected).abs() <= ROUNDING * expected).all(), tracked


@cache
def truth_of_sums(name):
    """Ask about a loss with corrupted triples, and about the difference of two tails' losses."""
    (model, scales), loss = trained(name), of_negatives(SLCWA(num_negatives=2, seed=3))
    asked = torch.column_stack([TEST, OTHER_TAILS])
    return ask(model.model, TRAIN, asked, loss, oracle.of_contrast(loss), scales=scales)


def norm_errors(name):
    """Compute norms of both sides; give the largest errors."""
    truth = truth_of_sums(name)
    engine = engine_for(name, truth.products, loss=SLCWA(num_negatives=2, seed=3))
    with torch.no_grad():
        found = (
            training_lengths([engine], TRAIN.numpy()).norms,
            question_lengths([engine], Question(is_contrast=True), targets()).norms,
        )
    lengths = [torch.stack(list(side.values())).norm(dim=0) for side in (truth.train_norms, truth.test_norms)]
    return [
        float((norms / LEARNING_RATE**0.5 / length - 1).abs().max())
        for norms, length in zip(found, lengths, strict=True)
    ]


@pytest.mark.parametrize("name", ["DistMult", "TuckER", "own"])
def test_preconditioned_corrupted_triples_contrasts_and_norms_agree_with_autograd(name):
    truth = truth_of_sums(name)
    loss = SLCWA(num_negatives=2, seed=3)
    for forward in (False, True):
        found = scores(engine_for(name, truth.products, forward=forward, loss=loss), Question(is_contrast=True))
        assert error(found, truth, truth.products) <= ROUNDING
    assert max(norm_errors(name)) <= 1e-7


@pytest.mark.parametrize("name", ["own", "TuckER"])
def test_preconditioned_norms_take_at_most_the_counted_bytes(name, monkeypatch):
    tile(monkeypatch, value_bytes=2**16)
    truth, batch = truth_of(name), torch.from_numpy(np.tile(TRAIN.numpy(), (12, 1)))
    for loss, each in ((None, 1), (SLCWA(num_negatives=2, seed=3), 3)):
        engine = engine_for(name, truth.products, loss=loss)
        with torch.no_grad(), LiveBytes() as live:
            self_influence(engine, batch)
        assert live.peak_bytes <= gradient_cost.norm_bytes(
            engine.model.config, len(batch), each, engine.tracked, engine.storage
        )


def test_a_preconditioner_of_some_tracked_tensors_only_is_refused():
    engine = engine_for("own", ["mix.bias"])
    with pytest.raises(ConfigError, match=r"the preconditioner has nothing for mix\.weight, which are tracked"):
        replace(engine, tracked=engine.tracked | {"mix.weight"})
