"""Influences through Adam's preconditioner agree with the oracle, which reads it from a real optimiser's state."""

import copy
from dataclasses import replace
from functools import cache

import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import (
    DIALECTS,
    LEARNING_RATE,
    ROUNDING,
    TEST,
    TRAIN,
    Case,
    case_of,
    check_scores,
    check_self_influence,
    engine_for,
    engine_of,
    scores,
    trained_scale_model,
)
from influence.indexed import training_lengths
from influence.test_no_waiting import WAITING, operators
from influence.test_normalised import RATES, expected, normalised
from influence.test_questions import CONTRASTED, LOSSES, SCORE
from influence.test_single_precision import MOST_EXCLUDED, TOLERANCE, random_triples
from influence.tiled import tile
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.preconditioned import layout_of
from tracin_dask.influence.losses import OneToAll
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.preconditioners.diagonal import laid_out
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.conve.model import CANCELLED, ConvE

WAYS = [Modes(), Modes(forward=True), Modes(head_jacobians=True), Modes(long_run=2)]
ALL_MODES = [replace(modes, relation_table=table) for modes in WAYS for table in (False, True)]
ALL_MODES.append(Modes(norms=True))
FC = ["fc.weight", "fc.bias"]


def train(model: ConvE, triples: Tensor) -> dict[str, Tensor]:
    """Take a few steps of Adam; give what Adam multiplies gradients with then."""
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-3)
    heads, relations, tails = triples.T
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(3):
            optimizer.zero_grad()
            OneToAll(label_smoothing=0.1).value(model(heads, relations), tails).mean().backward()
            optimizer.step()
    return oracle.adam_scales(model.eval(), optimizer)


@cache
def trained(dialect: str, seed: int = 0) -> tuple[ConvE, dict[str, Tensor]]:
    model = random_model(seed, **DIALECTS[dialect])
    return model, train(model, TRAIN)


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
def test_preconditioned_influences_agree_with_the_oracle_for_every_tensor(dialect, loss):
    wanted = case(dialect, loss)
    for tracked in subsets(wanted):
        check_scores(wanted, tracked, loss=LOSSES[loss][0])
        check_self_influence(wanted, tracked, loss=LOSSES[loss][0])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_preconditioned_influences_agree_with_the_oracle_in_every_mode(dialect, modes):
    wanted = case(dialect)
    for tracked in subsets(wanted):
        check_scores(wanted, tracked, modes=modes)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("explain", "is_contrast"), [("score", False), ("loss", True)], ids=["score", "contrast"])
def test_preconditioned_scores_and_contrasts_agree_with_the_oracle(dialect, loss, explain, is_contrast):
    wanted = case(dialect, loss, explain=explain, is_contrast=is_contrast)
    for tracked in subsets(wanted):
        check_scores(wanted, tracked, loss=LOSSES[loss][0], explain=explain)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("is_contrast", [False, True], ids=["loss", "contrast"])
def test_preconditioned_sums_over_checkpoints_and_norms_agree_with_the_oracle(dialect, loss, is_contrast):
    cases = [case(dialect, loss, is_contrast=is_contrast, seed=seed) for seed in range(3)]
    for names in (cases[0].names, FC):
        pairs = list(zip(cases, RATES, strict=True))
        engines = [engine_of(c, names, loss=LOSSES[loss][0], learning_rate=rate) for c, rate in pairs]
        influences, ours, theirs = expected(cases, names)
        with torch.no_grad():
            torch.testing.assert_close(training_lengths(engines, TRAIN.numpy()).norms, ours, rtol=ROUNDING, atol=0)
            cosine = normalised(engines, Question(is_contrast=is_contrast), cosine=True)
        assert ((cosine - influences / ours[:, None] / theirs).abs() <= ROUNDING).all()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_preconditioned_gradients_through_a_gamma_of_zero_agree_with_the_oracle(dialect):
    model, scales = copy.deepcopy(trained(dialect))
    with torch.no_grad():
        for norm in (model.bn0, model.bn1, model.bn2):
            norm.weight[0] = 0
    wanted = case_of(model, scales=scales)
    for tracked in subsets(wanted):
        check_scores(wanted, tracked)
        check_self_influence(wanted, tracked)


@pytest.mark.parametrize("loss", LOSSES)
def test_small_tiles_and_recomputed_activations_change_only_rounding(monkeypatch, loss):
    tile(monkeypatch, score_bytes=5 * 24 * 8)
    wanted = case("height", loss)
    check_scores(wanted, wanted.names, loss=LOSSES[loss][0], recompute=True)
    check_self_influence(wanted, wanted.names, loss=LOSSES[loss][0], recompute=True)


@pytest.mark.parametrize(
    ("dim", "height", "stacking", "modes"),
    [(32, 8, "width", Modes(forward=True, relation_table=True)), (200, 10, "height", Modes())],
    ids=str,
)
def test_preconditioned_float32_agrees_with_the_float64_oracle(dim, height, stacking, modes):
    model = trained_scale_model(dim, height, stacking=stacking)
    scales = train(model, random_triples(200, model.config))
    triples = random_triples(30, model.config)
    near = oracle.near_a_kink(model, triples)
    assert near.double().mean() <= MOST_EXCLUDED[dim]
    kept = triples[~near]
    for loss in ("bce", "one-to-all"):
        wanted = case_of(model.double(), kept, kept[::10], loss=LOSSES[loss][1], scales=scales)
        for names in (wanted.names, sorted(set(wanted.names) - CANCELLED)):
            of_loss = modes if loss == "bce" else Modes(all_scores=True)
            engine = engine_of(replace(wanted, model=model.float()), names, loss=LOSSES[loss][0], modes=of_loss)
            found = scores(engine, kept, engine.prepare(kept[::10], batch_size=4)) / engine.learning_rate
            own = engine.self_influence(kept) / engine.learning_rate
            truth = torch.stack([wanted.products[name] for name in names]).sum(dim=0)
            assert ((found - truth).abs() <= TOLERANCE * wanted.bound(names)).all()
            squares = torch.stack([wanted.train_norms[name] for name in names]).square().sum(dim=0)
            assert ((own - squares).abs() <= TOLERANCE * squares).all()


def test_preconditioned_bf16_rounds_the_operands_of_its_products():
    wanted = case("width")
    names = sorted(set(wanted.names) - CANCELLED)
    single = replace(wanted, model=copy.deepcopy(wanted.model).float())
    for modes in (Modes(), Modes(forward=True)):
        full, rounded = (
            scores(engine, TRAIN, engine.prepare(TEST, batch_size=8))
            for engine in (engine_of(single, names, precision=p, modes=modes) for p in (Precision.FULL, Precision.BF16))
        )
        assert not torch.equal(full, rounded)
        assert ((full - rounded).abs() <= 2**-6 * LEARNING_RATE * wanted.bound(names)).all()


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
@pytest.mark.parametrize("loss", LOSSES)
def test_preconditioned_scoring_never_synchronises_with_the_device(loss):
    wanted = case("height", loss)
    engine, asked = engine_of(wanted, wanted.names, loss=LOSSES[loss][0]), TEST.numpy()
    test = prepare_question(engine, Question(), Targets(triples=asked), batch_size=8)
    found = operators(make_scorer(engine, test, EachItsOwn(num_answers=len(asked))), wanted)
    assert "aten::mm" in found
    assert not found & WAITING


def test_a_preconditioner_of_some_tracked_tensors_only_is_refused():
    wanted = case("width")
    preconditioner = laid_out({"fc.bias": wanted.scales["fc.bias"]}, layout_of(wanted.model.config))
    with pytest.raises(ConfigError, match=r"the preconditioner has nothing for bn2\.bias, which are tracked"):
        engine_for(wanted.model, ["fc.bias", "bn2.bias"], preconditioner=preconditioner)
