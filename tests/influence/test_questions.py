"""Corrupted triples, scores instead of losses, and tails against other tails agree with the oracle."""

from dataclasses import replace
from functools import cache

import numpy as np
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

from tracin_dask.errors import ConfigError
from tracin_dask.influence.columns import Question, Targets, prepare_question
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll

LOSSES = {
    "bce": (BinaryCrossEntropy(), oracle.bce),
    "one-to-all": (OneToAll(label_smoothing=0.1), oracle.of_all_scores(OneToAll(label_smoothing=0.1).value)),
    "slcwa": (SLCWA(num_negatives=2), oracle.of_negatives(SLCWA(num_negatives=2))),
}
SCORE = oracle.of_own_score(lambda scores: -scores)
CONTRASTED = torch.cat([TEST, torch.tensor([0, 4, 3, 2, 2, 9, 5, 6])[:, None]], dim=1)  # some are heads
MODES = [
    Modes(),
    Modes(forward=True, relation_table=True),
    Modes(head_jacobians=True, long_run=1),
]


@cache
def case(dialect: str, loss: str, *, explain: str = "loss", is_contrast: bool = False) -> Case:
    plain = LOSSES[loss][1]
    test_loss = plain if explain == "loss" else SCORE
    test = TEST
    if is_contrast:
        test, test_loss = CONTRASTED, oracle.of_contrast(test_loss)
    return case_of(random_model(**DIALECTS[dialect]), test=test, loss=plain, test_loss=test_loss)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_corrupted_triples_agree_with_the_oracle_in_every_mode(dialect, modes):
    wanted = case(dialect, "slcwa")
    for tracked in [*([name] for name in wanted.names), wanted.names, ["fc.weight", "fc.bias"]]:
        check_scores(wanted, tracked, loss=LOSSES["slcwa"][0], modes=modes)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_self_influence_under_corrupted_triples_agrees_with_the_oracle(dialect):
    wanted = case(dialect, "slcwa")
    for tracked in [*([name] for name in wanted.names), wanted.names, ["fc.weight", "fc.bias"]]:
        check_self_influence(wanted, tracked, loss=LOSSES["slcwa"][0])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("explain", "is_contrast"), [("score", False), ("loss", True), ("score", True)], ids=["score", "contrast", "both"]
)
def test_scores_and_contrasts_agree_with_the_oracle_under_every_loss(dialect, loss, explain, is_contrast):
    wanted = case(dialect, loss, explain=explain, is_contrast=is_contrast)
    for tracked in [*([name] for name in wanted.names), wanted.names, ["fc.weight", "fc.bias"]]:
        check_scores(wanted, tracked, loss=LOSSES[loss][0], explain=explain)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_contrast_of_a_tail_with_itself_has_zero_influences(loss):
    engine = engine_for(random_model(), random_model().config.parameter_names, loss=LOSSES[loss][0])
    asked = TEST.numpy()
    test = prepare_question(
        engine, Question(is_contrast=True), Targets(triples=asked, contrast_tails=asked[:, 2]), batch_size=8
    )
    assert (
        scores(engine, TRAIN, test, num_tests=len(asked)).abs().max() < 1e-14
    )  # sums of two numbers and their negatives


def test_corrupted_triples_differ_from_their_triple_in_one_entity():
    triples = np.random.default_rng(0).integers((50, 7, 50), size=(4000, 3))
    drawn = SLCWA(num_negatives=3).corrupted(triples, 50)
    assert drawn.shape == (3, 4000, 3)
    differs = drawn != triples
    assert (differs.sum(axis=2) == 1).all()
    assert not differs[:, :, 1].any()
    assert ((drawn >= 0) & (drawn < [50, 7, 50])).all()
    assert abs(differs[:, :, 0].mean() - 0.5) < 0.02
    counts = np.bincount(drawn[:, :, 0][differs[:, :, 0]], minlength=50)
    assert counts.min() > 0.6 * counts.mean()
    assert counts.max() < 1.4 * counts.mean()
    assert (drawn[0] != drawn[1]).any(axis=1).mean() > 0.9


def test_corruption_depends_only_on_triple_and_seed():
    loss = SLCWA(num_negatives=2)
    whole = loss.corrupted(TRAIN.numpy(), 17)
    assert (loss.corrupted(TRAIN[3:5].numpy(), 17) == whole[:, 3:5]).all()
    assert (whole[:, 0] == whole[:, 1]).all()  # a duplicate
    assert (replace(loss, seed=1).corrupted(TRAIN.numpy(), 17) != whole).any()
    assert loss.corrupted(np.array([[2, 1, 3]]), 17)[:, 0].tolist() == [[2, 1, 11], [2, 1, 11]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_negatives": 0}, "num_negatives must be at least 1, not 0"),
        ({"seed": -1}, "seed of the negatives is -1; expected a whole number from 0 to 18446744073709551615"),
        ({"seed": 2**64}, "seed of the negatives is 18446744073709551616; expected a whole number from 0 to"),
        (
            {"seed": 10**5000},
            "seed of the negatives is a number of thousands of digits; expected a whole number from 0 to",
        ),
    ],
)
def test_invalid_settings_of_corrupted_triples_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SLCWA(**settings)


def test_a_graph_of_one_entity_cannot_be_corrupted():
    with pytest.raises(ConfigError, match="at least two entities"):
        SLCWA().corrupted(np.array([[0, 0, 0]]), 1)
