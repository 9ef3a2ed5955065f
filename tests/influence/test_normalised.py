"""Influences divided by the norms of gradients agree with the oracle, and so do the norms of all that can be asked."""

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import DIALECTS, ROUNDING, TEST, TRAIN, Case, case_of, engine_for, trained_scale_model
from influence.indexed import parts, self_influence, training_lengths
from influence.test_questions import CONTRASTED, LOSSES, SCORE
from torch import Tensor

from tracin_dask.errors import NonFiniteError
from tracin_dask.influence import normalised as normalised_scores
from tracin_dask.influence import squares
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, columns_of, prepare_question
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.losses import BinaryCrossEntropy, LossPart, NegatedScore
from tracin_dask.influence.normalised import (
    Lengths,
    NormalisedScorer,
    question_lengths,
    without_powers,
)
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.summed import SummedScorer
from tracin_dask.models.conve.model import ConvE

RATES = (0.5, 0.03125, 2.0)
QUESTIONS = {
    "loss": Question(),
    "score": Question(explain="score"),
    "contrast": Question(is_contrast=True),
    "contrast of scores": Question(explain="score", is_contrast=True),
}
ALL, FC = "all", "fc"
MODES = [
    Modes(),
    Modes(forward=True, relation_table=True),
    Modes(head_jacobians=True, long_run=2, relation_table=True),
    Modes(norms=True),
]


@cache
def model(dialect: str, seed: int) -> ConvE:
    return random_model(seed, **DIALECTS[dialect])


@cache
def case(dialect: str, loss: str, question: str, seed: int) -> Case:
    asked, plain = QUESTIONS[question], LOSSES[loss][1]
    test, test_loss = TEST, plain if asked.explain == "loss" else SCORE
    if asked.is_contrast:
        test, test_loss = CONTRASTED, oracle.of_contrast(test_loss)
    return case_of(model(dialect, seed), test=test, loss=plain, test_loss=test_loss)


def tracked_of(cases: list[Case], tracked: str) -> tuple[str, ...]:
    return cases[0].names if tracked == ALL else ("fc.weight", "fc.bias")


def side_by_side(norms: list[dict[str, Tensor]], names: tuple[str, ...]) -> Tensor:
    """Give the norm of the gradients of all checkpoints, each times the root of its learning rate."""
    squares = [rate * sum(n[name].square() for name in names) for rate, n in zip(RATES, norms, strict=False)]
    return sum(squares).sqrt()


def expected(cases: list[Case], names: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Ask the oracle for influences and the norms of both sides."""
    influences = sum(r * sum(c.products[name] for name in names) for r, c in zip(RATES, cases, strict=False))
    ours, theirs = ([getattr(c, f"{side}_norms") for c in cases] for side in ("train", "test"))
    return influences, side_by_side(ours, names), side_by_side(theirs, names)


def engines_of(models, names, loss, modes: Modes) -> list:
    pairs = zip(models, RATES, strict=False)
    return [engine_for(one, names, learning_rate=rate, loss=loss, modes=modes) for one, rate in pairs]


def targets_of(question) -> Targets:
    asked = CONTRASTED.numpy()
    return Targets(triples=asked[:, :3], contrast_tails=asked[:, 3] if question.is_contrast else None)


def normalised(engines: list, question, *, cosine: bool, norms_of=slice(None), train: Tensor = TRAIN) -> Tensor:
    """Score the training triples as a run does."""
    targets, answers = targets_of(question), EachItsOwn(num_answers=len(CONTRASTED))
    factors = [prepare_question(engine, question, targets, batch_size=100) for engine in engines]
    tests, powers = without_powers(factors, answers)
    scorers = [make_scorer(engine, one, answers) for engine, one in zip(engines, tests, strict=True)]
    lengths = question_lengths(engines[norms_of], question, targets) if cosine else None
    scorer = NormalisedScorer(SummedScorer(scorers), engines, lengths, powers)
    found = torch.full((len(train), len(CONTRASTED)), torch.nan, dtype=engines[0].model.kernel.dtype)
    for part in parts(scorer, train.numpy()):
        found[torch.from_numpy(part.rows)] = part.influences
    return found


@pytest.mark.parametrize("tracked", [ALL, FC])
@pytest.mark.parametrize(
    ("question", "number"), [("loss", 1), ("loss", 3), ("score", 1), ("contrast", 3), ("contrast of scores", 1)]
)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_norms_and_normalised_influences_agree_with_the_oracle(dialect, loss, question, tracked, number):
    cases = [case(dialect, loss, question, seed) for seed in range(number)]
    names = tracked_of(cases, tracked)
    influences, ours, theirs = expected(cases, names)
    asked = QUESTIONS[question]
    engines = engines_of([c.model for c in cases], names, LOSSES[loss][0], Modes())
    with torch.no_grad():
        torch.testing.assert_close(training_lengths(engines, TRAIN.numpy()).norms, ours, rtol=ROUNDING, atol=0)
        lengths = question_lengths(engines, asked, targets_of(asked))
        torch.testing.assert_close(lengths.norms, theirs, rtol=ROUNDING, atol=0)
        cosine, relatif = (normalised(engines, asked, cosine=cosine) for cosine in (True, False))
    assert ((cosine - influences / ours[:, None] / theirs).abs() <= ROUNDING).all()
    assert ((relatif - influences / ours[:, None]).abs() <= ROUNDING * theirs).all()


@pytest.mark.parametrize("modes", MODES, ids=str)
@pytest.mark.parametrize("loss", ["bce", "slcwa", "one-to-all"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_normalised_influences_agree_with_the_oracle_in_every_mode(dialect, loss, modes):
    cases = [case(dialect, loss, "loss", 0)]
    influences, ours, theirs = expected(cases, cases[0].names)
    engines = engines_of([cases[0].model], cases[0].names, LOSSES[loss][0], modes)
    with torch.no_grad():
        found = normalised(engines, Question(), cosine=True)
    assert ((found - influences / ours[:, None] / theirs).abs() <= ROUNDING).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_cosines_lie_between_one_and_minus_one_and_duplicates_tie(loss):
    cases = [case("width", loss, "loss", seed) for seed in range(3)]
    engines = engines_of([c.model for c in cases], cases[0].names, LOSSES[loss][0], Modes())
    with torch.no_grad():
        found = normalised(engines, Question(), cosine=True)
    assert found.abs().max() <= 1 + ROUNDING
    same = (TRAIN[:, None] == TEST).all(dim=2)
    torch.testing.assert_close(found[same], torch.ones_like(found[same]), rtol=ROUNDING, atol=0)
    assert (found[~same] < 1 - 1e-6).all()
    torch.testing.assert_close(found[[0, 10]], found[[1, 11]], rtol=0, atol=ROUNDING)


def test_norms_of_many_test_triples_equal_those_of_few():
    engines = engines_of([model("width", 0)], case("width", "slcwa", "loss", 0).names, LOSSES["slcwa"][0], Modes())
    with torch.no_grad():
        few = question_lengths(engines, Question(), Targets(triples=TEST.numpy()))
        many = question_lengths(engines, Question(), Targets(triples=TEST.repeat(9, 1).numpy()))
    torch.testing.assert_close(many.norms, few.norms.repeat(9), rtol=1e-12, atol=0)


class Margin:
    """Has no gradient from a score of 0 on."""

    name = "margin"

    def value(self, scores: Tensor) -> Tensor:
        return torch.relu(-scores)


class Scaled:
    """Has gradients of any size."""

    name = "scaled"

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def value(self, scores: Tensor) -> Tensor:
        return self._factor * scores


@pytest.mark.parametrize("cosine", [True, False])
def test_a_zero_gradient_of_either_triple_gives_zero_influence(cosine):
    wanted = case("width", "bce", "loss", 0)
    with torch.no_grad():
        above, test_above = (oracle.scores(wanted.model, triples) >= 0 for triples in (TRAIN, TEST))
        found = normalised(engines_of([wanted.model], wanted.names, Margin(), Modes()), Question(), cosine=cosine)
    assert 0 < above.sum() < len(TRAIN)
    assert 0 < test_above.sum() < len(TEST)
    assert (found[above] == 0).all()
    assert (found[:, test_above] == 0).all()
    assert (found[~above][:, ~test_above] != 0).all()


@pytest.mark.parametrize("factor", [1e-30, 1e-21, 1e24])
def test_gradients_with_squares_beyond_float32_have_their_cosines(factor):
    wanted = case("width", "bce", "score", 0)
    theirs = expected([wanted], wanted.names)[2]
    ours = side_by_side([oracle.norms(wanted.model, TRAIN, SCORE)], wanted.names)
    products = oracle.products(wanted.model, TRAIN, TEST, SCORE)
    cosines = RATES[0] * sum(products.values()) / ours[:, None] / theirs
    engines = engines_of([copy.deepcopy(wanted.model).float()], wanted.names, Scaled(factor), Modes())
    with torch.no_grad():
        found = normalised(engines, Question(), cosine=True)
        relatif = normalised(engines, Question(), cosine=False)
    torch.testing.assert_close(found.double().abs(), cosines.abs(), rtol=0, atol=1e-5)
    torch.testing.assert_close(relatif.double().abs() / theirs / factor, cosines.abs(), rtol=0, atol=1e-5)


def without_signs(*given):
    found = columns_of(*given)
    return replace(found, blocks=tuple(replace(block, weight=abs(block.weight)) for block in found.blocks))


def first_rows(lengths: Lengths, rows: Tensor) -> Lengths:
    return Lengths(norms=lengths.norms[: len(rows)], shares=None)


def ones(number: int) -> Lengths:
    return Lengths(norms=torch.ones(number, dtype=torch.float64), shares=None)


# Each entry: the module, its function, what takes the function's place.
LEFT_OUT = {
    "the training triples' norms": (normalised_scores, "training_lengths", lambda _, ids: ones(len(ids))),
    "the order of rows": (normalised_scores, "of_rows", first_rows),
    "the signs": (squares, "columns_of", without_signs),
    "the roots": (normalised_scores, "roots", lambda squares: squares),
}


def cosine_error(norms_of=slice(None), *, cosine: bool = True) -> Tensor:
    """Give the largest error of cosines over three checkpoints, with the test triples' norms from some of them."""
    cases = [case("width", "bce", "contrast", seed) for seed in range(3)]
    influences, ours, theirs = expected(cases, cases[0].names)
    engines = engines_of([c.model for c in cases], cases[0].names, BinaryCrossEntropy(), Modes(long_run=2))
    with torch.no_grad():
        found = normalised(engines, Question(is_contrast=True), cosine=cosine, norms_of=norms_of)
    return (found - influences / ours[:, None] / theirs).abs().max()


@pytest.mark.parametrize("part", LEFT_OUT)
def test_cosines_without_a_part_of_the_norms_disagree_with_the_oracle(part, monkeypatch):
    assert cosine_error() <= ROUNDING
    monkeypatch.setattr(*LEFT_OUT[part])
    assert cosine_error() > 1e-3


def test_cosines_without_the_test_triples_norms_disagree_with_the_oracle():
    assert cosine_error(cosine=False) > 1e-3


def test_cosines_with_the_test_triples_norms_of_one_checkpoint_disagree_with_the_oracle():
    assert cosine_error(slice(1)) > 1e-3


def test_an_infinite_norm_is_refused_with_its_test_triple():
    engines = engines_of([random_model(**DIALECTS["width"]).float()], ("fc.bias",), Scaled(1e39), Modes())
    with (
        torch.no_grad(),
        pytest.raises(NonFiniteError, match=r"8 test triple\(s\) is NaN or infinite, first"),
    ):
        question_lengths(engines, Question(), Targets(triples=TEST.numpy()))


def test_a_self_influence_beyond_float32_is_refused_with_its_triple():
    (engine,) = engines_of([random_model(**DIALECTS["width"]).float()], ("fc.bias",), Scaled(1e24), Modes())
    with torch.no_grad(), pytest.raises(NonFiniteError, match=r"training triple\(s\) is NaN or infinite, first"):
        self_influence(engine, TRAIN)


class Cancelling:
    """Has the gradients of a score, and of another one with the opposite sign."""

    name, reads, num_negatives = "cancelling", "corrupted triples", 1

    def parts(self, triples: np.ndarray, num_entities: int) -> tuple[LossPart, ...]:
        others = triples.copy()
        others[:, 2] = num_entities - 1
        pairs = ((triples, -1.0), (others, 1.0))
        return tuple(LossPart(triples=some, loss=NegatedScore(weight=weight)) for some, weight in pairs)


def difference_of_scores(model: ConvE, triple: Tensor) -> Tensor:
    other = torch.cat([triple[:2], torch.tensor([model.config.num_entities - 1])])
    return oracle.scores(model, triple[None])[0] - oracle.scores(model, other[None])[0]


@pytest.mark.parametrize("apart", [1.0, 0.3, 0.1, 0.05, 0.003])
def test_sums_of_gradients_that_cancel_have_their_lengths_and_cosines_or_count_as_zero(apart):
    model = trained_scale_model(32, 8, num_entities=17)
    with torch.no_grad():  # all entities are almost the same, so that both gradients are
        table = model.entity_embeddings.weight
        table.copy_((table[0] + apart * (table - table[0])).float().double())
    train = TRAIN[~oracle.near_a_kink(model, TRAIN)]
    names = ("fc.weight", "fc.bias")
    wanted = case_of(model, train, TEST, difference_of_scores)
    engines = engines_of([copy.deepcopy(model).float()], names, Cancelling(), Modes())
    with torch.no_grad():
        lengths = training_lengths(engines, train.numpy())
        found = normalised(engines, Question(), cosine=True, train=train)
    ours = side_by_side([wanted.train_norms], names)
    torch.testing.assert_close(lengths.norms, ours, rtol=1e-4, atol=0)
    cosines = sum(wanted.products[name] for name in names) / wanted.bound(names)
    kept = found != 0
    assert kept.any() if apart > 0.03 else not kept.any()
    assert ((found.double() - cosines).abs()[kept] <= 1e-4).all()
    assert (found.abs() <= 1 + 1e-4).all()


def test_without_float64_sums_that_cancel_have_wrong_lengths(monkeypatch):
    monkeypatch.setattr(squares, "CANCELS", 0.0)
    with pytest.raises(AssertionError):
        test_sums_of_gradients_that_cancel_have_their_lengths_and_cosines_or_count_as_zero(0.003)
