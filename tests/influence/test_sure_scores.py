"""In float32 the gradients of triples with sure scores keep their digits: both engines agree with float64."""

import copy
from types import SimpleNamespace

import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import LEARNING_RATE, case_of, engine_for
from influence.any_model import TailsBilinear
from influence.indexed import parts, training_lengths
from torch import Tensor
from torch.nn.functional import softplus

from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll, derivative
from tracin_dask.influence.losses.base import derivative_at_all
from tracin_dask.influence.losses.own_score import LabelledScore
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.whole_model import face_of

UP_TO_80 = torch.arange(-80.0, 81.0)
DIGITS = 1e-4
TRAIN = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 3], [1, 0, 0], [1, 2, 1], [4, 0, 2], [4, 0, 2], [5, 1, 7]])
UNSURE = torch.tensor([[3, 1, 4], [2, 1, 6]])


def sigmoid(scores: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-scores.double()))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_derivative_of_one_to_all_at_the_tail_keeps_its_digits_up_to_a_score_of_80(smoothing):
    loss, num_entities = OneToAll(label_smoothing=smoothing), 7
    expected = (smoothing - smoothing / num_entities - sigmoid(-UP_TO_80)) / num_entities
    every = torch.zeros(len(UP_TO_80), num_entities).index_copy_(1, torch.tensor([3]), UP_TO_80[:, None])
    by_autograd = derivative_at_all(loss, every, torch.full((len(UP_TO_80),), 3))[:, 3]
    for found in (loss.derivative_at_tail(UP_TO_80.clone(), num_entities), by_autograd):
        # with smoothing both parts cancel where the score is that of its label
        torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=smoothing * 1e-7)


@pytest.mark.parametrize(
    ("loss", "sign", "weight"),
    [
        (BinaryCrossEntropy(), -1, 1.0),
        (LabelledScore(is_positive=True, weight=0.25), -1, 0.25),
        (LabelledScore(is_positive=False, weight=0.25), 1, 0.25),
    ],
    ids=str,
)
@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_derivatives_of_single_scores_keep_their_digits_up_to_a_score_of_80(loss, sign, weight, dtype, digits):
    expected = sign * weight * sigmoid(sign * UP_TO_80)
    torch.testing.assert_close(derivative(loss, UP_TO_80.to(dtype)).double(), expected, rtol=digits, atol=0)


def one_to_all(values: Tensor, tails: Tensor) -> Tensor:
    """Compute the loss by its definition, with ε = 0."""
    positive = torch.nn.functional.one_hot(tails, values.shape[1])
    return torch.where(positive == 1, softplus(-values), softplus(values)).mean(dim=1)


def exactly(model: torch.nn.Module) -> torch.nn.Module:
    """Give every number of a float64 model a value of float32."""
    return model.float().double()


def sure_conve(score: float, tail: int) -> torch.nn.Module:
    """Make a model that is sure that a tail is right for all pairs, and all others are wrong."""
    model = random_model(stacking="height", has_entity_bias=True)
    with torch.no_grad():
        model.entity_bias.fill_(-score)[tail] = score
    return exactly(model)


def sure_bilinear(score: float, tail: int) -> torch.nn.Module:
    torch.manual_seed(1)
    model = TailsBilinear(17, 4)
    with torch.no_grad():
        model.prior.fill_(-score)[tail] = score
    return exactly(model)


class FromPairs(torch.nn.Module):
    """A model of one's own, called as the oracle calls a ConvE."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.config = model, SimpleNamespace(num_entities=len(model.prior))

    def forward(self, heads: Tensor, relations: Tensor) -> Tensor:
        return self.inner.score_tails(torch.stack([heads, relations], dim=1))


def conve_engine(model: torch.nn.Module, loss) -> PairEngine:
    return engine_for(copy.deepcopy(model).float(), dict(model.named_parameters()), loss=loss)


def bilinear_engine(model: torch.nn.Module, loss) -> GradientEngine:
    rowwise = face_of(copy.deepcopy(model).float())
    names = frozenset(rowwise.config.parameter_names)
    return GradientEngine(
        model=rowwise, tracked=names, loss=loss, learning_rate=LEARNING_RATE, modes=GradientModes(forward=True)
    )


def oracle_losses(loss):
    return oracle.of_all_scores(one_to_all) if isinstance(loss, OneToAll) else oracle.of_negatives(loss)


@pytest.mark.parametrize("loss", [OneToAll(), SLCWA(num_negatives=3)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("tail", [1, 3])  # the first and the last tail of a pair with several
@pytest.mark.parametrize("score", [10.0, 17.0, 30.0, 60.0])
@pytest.mark.parametrize("kind", ["conve", "autograd"])
def test_triples_with_a_sure_tail_keep_their_influences_and_lengths(kind, score, tail, loss):
    model, train = (sure_conve if kind == "conve" else sure_bilinear)(score, tail), TRAIN.clone()
    train[3:5, 2] = tail
    plain = model if kind == "conve" else FromPairs(model)
    truth = case_of(plain, train, UNSURE, oracle_losses(loss), lambda m, t: oracle.scores(m, t[None])[0])
    engine = conve_engine(model, loss) if kind == "conve" else bilinear_engine(model, loss)
    with torch.no_grad():
        columns = prepare_question(engine, Question(explain="score"), Targets(triples=UNSURE.numpy()), batch_size=10)
        (part,) = parts(make_scorer(engine, columns, EachItsOwn(num_answers=len(UNSURE))), train.numpy())
        lengths = training_lengths([engine], train.numpy()).norms / LEARNING_RATE**0.5
    expected, bound = -sum(truth.products.values()), truth.bound(truth.names)
    assert ((part.influences.double() / LEARNING_RATE - expected).abs() <= DIGITS * bound).all()
    if isinstance(loss, SLCWA) or score <= 30:  # beyond, no square of a gradient at all scores is a number of float32
        own = torch.stack(list(truth.train_norms.values())).norm(dim=0)
        torch.testing.assert_close(lengths, own, rtol=DIGITS, atol=0)
