"""The loss over all entities' scores agrees with the oracle, which knows its definition and nothing else."""

from functools import cache

import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import (
    DIALECTS,
    TEST,
    TRAIN,
    Case,
    case_of,
    check_scores,
    check_self_influence,
    engine_for,
    scores,
)
from influence.tiled import tile

from tracin_dask.errors import ConfigError
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.losses import OneToAll

SMOOTH = OneToAll(label_smoothing=0.1)
MODES = [Modes(all_scores=True), Modes(all_scores=True, relation_table=True)]


@cache
def all_scores_case(dialect: str, smoothing: float = 0.1) -> Case:
    loss = OneToAll(label_smoothing=smoothing)
    return case_of(random_model(**DIALECTS[dialect]), loss=oracle.of_all_scores(loss.value))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_one_to_all_influences_agree_with_the_oracle_for_every_tensor(dialect, smoothing, modes):
    case, loss = all_scores_case(dialect, smoothing), OneToAll(label_smoothing=smoothing)
    for tracked in [*([name] for name in case.names), case.names, ["fc.weight", "fc.bias"]]:
        check_scores(case, tracked, loss=loss, modes=modes)
        check_self_influence(case, tracked, loss=loss)


@pytest.mark.parametrize("entities_at_a_time", [1, 5])
def test_one_to_all_tiles_of_any_size_agree_with_the_oracle(monkeypatch, entities_at_a_time):
    tile(monkeypatch, score_bytes=entities_at_a_time * len(TRAIN) * 8)
    case = all_scores_case("height")
    check_scores(case, case.names, loss=SMOOTH)
    check_self_influence(case, case.names, loss=SMOOTH)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_derivative_of_one_to_all_equals_its_definition(smoothing):
    loss = OneToAll(label_smoothing=smoothing)
    drawn = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tails = torch.tensor([0, 6, 2])
    (expected,) = torch.autograd.grad(loss.value(drawn.requires_grad_(), tails).sum(), drawn)
    found, rows = loss.derivative_elsewhere(drawn.detach().clone(), 7), torch.arange(3)
    at_tail = loss.derivative_at_tail(drawn.detach()[rows, tails], 7)
    torch.testing.assert_close(found[rows, tails] - loss.lower_at_tail(7), at_tail, rtol=1e-13, atol=1e-16)
    found[rows, tails] = at_tail
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_that_leaves_no_positive_is_refused(smoothing):
    with pytest.raises(ConfigError, match=f"label_smoothing must be at least 0 and below 1, not {smoothing}"):
        OneToAll(label_smoothing=smoothing)


def test_one_to_all_works_for_one_and_for_no_triple():
    case = case_of(random_model(has_entity_bias=True), TRAIN[:1], TEST[:1], loss=oracle.of_all_scores(SMOOTH.value))
    check_scores(case, case.names, loss=SMOOTH)
    engine = engine_for(case.model, case.names, loss=SMOOTH)
    assert scores(engine, TRAIN[:0], engine.prepare(TEST, batch_size=3)).shape == (0, len(TEST))
    assert engine.self_influence(TRAIN[:0]).shape == (0,)


def test_one_to_all_of_a_well_fitted_pair_keeps_its_digits_in_float32():
    model = random_model(**DIALECTS["width"])
    with torch.no_grad():
        model.entity_embeddings.weight.mul_(20)  # the tails' scores are far from 0, the derivatives there next to 0
    case = case_of(model, loss=oracle.of_all_scores(SMOOTH.value))
    engine = engine_for(model.float(), case.names, loss=SMOOTH)
    found = scores(engine, case.train, engine.prepare(case.test, batch_size=8)).double() / engine.learning_rate
    assert ((found - sum(case.products.values())).abs() <= 1e-4 * case.bound(case.names)).all()
