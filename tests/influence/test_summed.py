"""Sums over checkpoints agree with the oracle's products, each with the learning rate of its checkpoint."""

from functools import cache

import numpy as np
import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import DIALECTS, ROUNDING, TEST, TRAIN, engine_for
from influence.indexed import parts

from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.scorer import Scorer
from tracin_dask.influence.engine import BatchScorer
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.summed import SelfScorer, SummedScorer
from tracin_dask.models.conve.model import ConvE

SMOOTH, CORRUPTED = OneToAll(label_smoothing=0.1), SLCWA(num_negatives=1)
LOSSES = {
    "bce": (BinaryCrossEntropy(), oracle.bce),
    "one-to-all": (SMOOTH, oracle.of_all_scores(SMOOTH.value)),
    "slcwa": (CORRUPTED, oracle.of_negatives(CORRUPTED)),
}
LEARNING_RATES = (0.5, 0.03125, 2.0)
MODES = {
    "rows": Modes(),
    "forward": Modes(forward=True),
    "heads and long runs": Modes(head_jacobians=True, long_run=2, relation_table=True),
}


@cache
def models(dialect: str) -> tuple[ConvE, ...]:
    return tuple(random_model(seed, **DIALECTS[dialect]) for seed in (0, 1, 2))


@cache
def truth(dialect: str, loss: str = "bce") -> tuple[list[dict[str, torch.Tensor]], list[dict[str, torch.Tensor]], list]:
    """What the oracle says of each model: products, norms of the training triples, norms of the test triples."""
    found, plain = models(dialect), LOSSES[loss][1]
    products = [oracle.products(model, TRAIN, TEST, plain) for model in found]
    return products, *([oracle.norms(model, triples, plain) for model in found] for triples in (TRAIN, TEST))


def tracked_sets(dialect: str) -> list[tuple[str, ...]]:
    names = tuple(dict(models(dialect)[0].named_parameters()))
    return [names, ("fc.weight", "fc.bias"), *((name,) for name in names)]


def together(norms: dict[str, torch.Tensor], tracked: tuple[str, ...]) -> torch.Tensor:
    return torch.stack([norms[name] for name in tracked]).norm(dim=0)


def engines(dialect: str, tracked: tuple[str, ...], modes: Modes, loss: str = "bce") -> list:
    pairs = zip(models(dialect), LEARNING_RATES, strict=True)
    return [engine_for(model, tracked, learning_rate=rate, modes=modes, loss=LOSSES[loss][0]) for model, rate in pairs]


def scorers_of(dialect: str, tracked: tuple[str, ...], modes: Modes, loss: str) -> list[BatchScorer]:
    """Make a scorer of each model; corrupted triples make several gradients of each test triple."""
    made = engines(dialect, tracked, modes, loss)
    asked = TEST.numpy()
    tests = [prepare_question(engine, Question(), Targets(triples=asked), batch_size=100) for engine in made]
    return [
        make_scorer(engine, test, EachItsOwn(num_answers=len(asked))) for engine, test in zip(made, tests, strict=True)
    ]


def summed(scorers: list[BatchScorer]) -> torch.Tensor:
    total = torch.full((len(TRAIN), len(TEST)), torch.nan, dtype=torch.float64)
    for part in parts(SummedScorer(scorers), TRAIN.numpy()):
        total[torch.from_numpy(part.rows)] = part.influences
    return total


@pytest.mark.parametrize("modes", MODES.values(), ids=MODES)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_sums_over_checkpoints_equal_the_oracle_for_every_tensor(dialect, modes, loss):
    products, ours, theirs = truth(dialect, loss)
    with torch.no_grad():
        for tracked in tracked_sets(dialect):
            scorers = scorers_of(dialect, tracked, modes, loss)
            expected, bound = torch.zeros(2, len(TRAIN), len(TEST), dtype=torch.float64)
            for number, rate in enumerate(LEARNING_RATES):
                expected += rate * sum(products[number][name] for name in tracked)
                bound += rate * together(ours[number], tracked)[:, None] * together(theirs[number], tracked)
            assert ((summed(scorers) - expected).abs() <= ROUNDING * bound).all(), tracked


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_self_influence_over_checkpoints_sums_the_squared_norms(dialect, loss):
    for tracked in tracked_sets(dialect):
        with torch.no_grad():
            (found,) = parts(SelfScorer(engines(dialect, tracked, Modes(), loss)), TRAIN.numpy())
        norms = (together(norms, tracked) for norms in truth(dialect, loss)[1])
        expected = sum(rate * norm.square() for rate, norm in zip(LEARNING_RATES, norms, strict=True))
        assert ((found.influences[:, 0] - expected).abs() <= ROUNDING * expected).all(), tracked
        assert found.rows.tolist() == list(range(len(TRAIN)))


def test_influences_are_summed_in_the_order_of_the_checkpoints():
    with torch.no_grad():
        made = engines("width", ("fc.weight", "fc.bias"), MODES["heads and long runs"])
        scorers = [Scorer(engine, engine.prepare(TEST, batch_size=100)) for engine in made]
        first, second, third = (scorer.score(TRAIN) for scorer in scorers)
        assert torch.equal(summed(scorers), first + second + third)


def test_the_sum_over_one_checkpoint_is_its_scorer():
    with torch.no_grad():
        engine = engines("width", ("fc.weight",), MODES["forward"])[0]
        scorer = Scorer(engine, engine.prepare(TEST, batch_size=100))
        assert torch.equal(summed([scorer]), scorer.score(TRAIN))
        alone = engine.self_influence(TRAIN)
        (own,) = parts(SelfScorer([engine]), TRAIN.numpy())
        assert np.array_equal(own.influences[:, 0], alone)
