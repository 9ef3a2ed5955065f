"""Influences through Adam's preconditioner agree with the oracle, which reads it from a real optimiser's state."""

from dataclasses import replace
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
    Disagreement,
    case_of,
    check_scores,
    check_self_influence,
    engine_for,
    fresh_room,
)
from influence.test_questions import CONTRASTED, LOSSES, SCORE
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import OneToAll
from tracin_dask.influence.modes import Modes
from tracin_dask.influence.preconditioner import lay_out_scales
from tracin_dask.models.conve import ConvE

WAYS = [Modes(), Modes(forward=True), Modes(head_jacobians=True), Modes(long_run=2)]
ALL_MODES = [replace(modes, relation_table=table) for modes in WAYS for table in (False, True)]
FC = ["fc.weight", "fc.bias"]


@cache
def trained(dialect: str, seed: int = 0) -> tuple[ConvE, dict[str, Tensor]]:
    """Take a few steps of Adam; give the model and what Adam divides by."""
    model = random_model(seed, **DIALECTS[dialect]).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(3):
            optimizer.zero_grad()
            OneToAll(label_smoothing=0.1).value(model(TRAIN[:, 0], TRAIN[:, 1]), TRAIN[:, 2]).mean().backward()
            optimizer.step()
    return model.eval(), oracle.adam_scales(model, optimizer)


@cache
def case(dialect: str, loss: str = "bce", *, explain: str = "loss", is_contrast: bool = False, seed: int = 0) -> Case:
    model, scales = trained(dialect, seed)
    plain, test = LOSSES[loss][1], TEST
    test_loss = plain if explain == "loss" else SCORE
    if is_contrast:
        test, test_loss = CONTRASTED, oracle.of_contrast(test_loss)
    return case_of(model, test=test, loss=plain, test_loss=test_loss, scales=scales)


def subsets(wanted: Case) -> list[list[str]]:
    return [*([name] for name in wanted.names), list(wanted.names), FC]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_tensor_and_all_together_agree_with_the_oracle(dialect, loss):
    wanted = case(dialect, loss)
    for tracked in subsets(wanted):
        check_scores(wanted, tracked, loss=LOSSES[loss][0])
        check_self_influence(wanted, tracked, loss=LOSSES[loss][0])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_they_do_in_every_mode(dialect, modes):
    wanted = case(dialect)
    for tracked in subsets(wanted):
        check_scores(wanted, tracked, modes=modes)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("explain", "is_contrast"), [("score", False), ("loss", True), ("score", True)], ids=["score", "contrast", "both"]
)
def test_scores_and_contrasts_agree_with_the_oracle(dialect, loss, explain, is_contrast):
    wanted = case(dialect, loss, explain=explain, is_contrast=is_contrast)
    for tracked in subsets(wanted):
        check_scores(wanted, tracked, loss=LOSSES[loss][0], explain=explain)
