"""Losses of all scores of any model: every tensor agrees with plain autograd, for every question."""

import itertools
from functools import cache

import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.any_model import TailsBilinear, face
from influence.indexed import parts, self_influence
from influence.live_bytes import LiveBytes
from influence.tiled import tile
from torch import Tensor, nn

from tracin_dask.errors import ConfigError
from tracin_dask.influence.autograd import tails_cost
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.kind import KIND
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.autograd.preconditioned import layout_of
from tracin_dask.influence.columns import Question, Targets, answers_of, prepare_question
from tracin_dask.influence.engine import EngineOptions
from tracin_dask.influence.losses import NegatedScore, OneToAll
from tracin_dask.influence.normalised import question_lengths
from tracin_dask.influence.preconditioners.diagonal import laid_out
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.whole_model import face_of

MODELS = ["DistMult", "ComplEx", "RotatE", "TransE", "TuckER", "ConvE"]
OTHER_TAILS = torch.tensor([2, 3, 5, 4, 6, 7, 8, 9])


class SoftMax:
    """A loss of one's own whose derivative by a score depends on all others."""

    name = "softmax"
    reads = "all scores"

    def value(self, scores: Tensor, tails: Tensor) -> Tensor:
        return nn.functional.cross_entropy(scores, tails, reduction="none")


LOSSES = {"one-to-all": OneToAll(label_smoothing=0.1), "softmax": SoftMax()}


@cache
def model_of(name: str):
    if name == "own":
        torch.manual_seed(0)
        return face_of(TailsBilinear(17, 4).double())
    model = face(name)
    if name == "RotatE":  # its two methods agree for relations of length 1, as training keeps them
        with torch.no_grad():
            table = torch.view_as_complex(
                model.tensors()["relation_representations.0._embeddings.weight"].view(4, -1, 2)
            )
            table /= table.abs()
    return model


def loss_at(model, loss, triple: Tensor) -> Tensor:
    """Compute the loss with the whole model, as its training would."""
    score_tails = getattr(model.model, "score_t", getattr(model.model, "score_tails", None))
    scores = score_tails(triple[None, :2])
    return -scores[0, triple[2]] if isinstance(loss, NegatedScore) else loss.value(scores, triple[2:])[0]


def gradients(model, triples: Tensor, loss) -> dict[str, Tensor]:
    named = {name: tensor for name, tensor in model.model.named_parameters() if tensor.requires_grad}
    rows = []
    for triple in triples:
        found = torch.autograd.grad(
            loss_at(model, loss, triple), list(named.values()), allow_unused=True, materialize_grads=True
        )
        rows.append(found)
    return {name: torch.stack([row[place].flatten() for row in rows]) for place, name in enumerate(named)}


@cache
def sides(name: str, loss: str, *, explain: str = "loss", is_contrast: bool = False):
    model, chosen = model_of(name), LOSSES[loss]
    asked = chosen if explain == "loss" else NegatedScore()
    theirs = gradients(model, TEST, asked)
    if is_contrast:
        others = torch.column_stack([TEST[:, :2], OTHER_TAILS])
        less = gradients(model, others, asked)
        theirs = {tensor: theirs[tensor] - less[tensor] for tensor in theirs}
    return gradients(model, TRAIN, chosen), theirs


def engine_for(name: str, tracked, loss, **options) -> GradientEngine:
    return GradientEngine(
        model=model_of(name),
        tracked=frozenset(tracked),
        loss=loss,
        learning_rate=LEARNING_RATE,
        modes=GradientModes(all_scores=True),
        **options,
    )


def targets_of(question: Question) -> Targets:
    return Targets(triples=TEST.numpy(), contrast_tails=OTHER_TAILS.numpy() if question.is_contrast else None)


def scores(engine: GradientEngine, question: Question) -> Tensor:
    targets = targets_of(question)
    factors = prepare_question(engine, question, targets, batch_size=3)
    scorer = make_scorer(engine, factors, answers_of(targets, question.num_gradients(engine.loss)))
    with torch.no_grad():
        (part,) = parts(scorer, TRAIN.numpy())
    return part.influences / LEARNING_RATE


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [*MODELS, "own"])
def test_losses_of_all_tails_agree_with_autograd_for_every_tensor(name, loss):
    ours, theirs = sides(name, loss)
    for tracked in (*([tensor] for tensor in ours), list(ours)):
        mine, yours = (torch.cat([side[tensor] for tensor in tracked], dim=1) for side in (ours, theirs))
        engine = engine_for(name, tracked, LOSSES[loss])
        bound = mine.norm(dim=1)[:, None] * yours.norm(dim=1)
        assert ((scores(engine, Question()) - mine @ yours.T).abs() <= ROUNDING * bound).all(), tracked
        squares = self_influence(engine, TRAIN) / LEARNING_RATE
        torch.testing.assert_close(squares, mine.square().sum(dim=1), rtol=ROUNDING, atol=0)


@pytest.mark.parametrize(
    ("loss", "explain", "is_contrast"), list(itertools.product(LOSSES, ["loss", "score"], [False, True]))[1:]
)
@pytest.mark.parametrize("name", ["RotatE", "own"])
def test_scores_contrasts_and_norms_of_all_tails_agree_with_autograd(name, loss, explain, is_contrast):
    ours, theirs = sides(name, loss, explain=explain, is_contrast=is_contrast)
    mine, yours = (torch.cat(list(side.values()), dim=1) for side in (ours, theirs))
    engine, question = engine_for(name, ours, LOSSES[loss]), Question(explain=explain, is_contrast=is_contrast)
    bound = mine.norm(dim=1)[:, None] * yours.norm(dim=1)
    assert ((scores(engine, question) - mine @ yours.T).abs() <= ROUNDING * bound).all()
    norms = question_lengths([engine], question, targets_of(question)).norms / LEARNING_RATE**0.5
    torch.testing.assert_close(norms, yours.norm(dim=1), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", ["DistMult", "own"])
def test_preconditioned_influences_of_all_tails_agree_with_autograd(name):
    ours, theirs = sides(name, "one-to-all")
    generator = torch.Generator().manual_seed(0)
    named = dict(model_of(name).model.named_parameters())
    scales = {
        tensor: 0.5 + torch.rand(named[tensor].shape, generator=generator, dtype=torch.float64) for tensor in ours
    }
    preconditioner = laid_out(scales, layout_of(model_of(name).config))
    engine = engine_for(name, ours, LOSSES["one-to-all"], preconditioner=preconditioner)
    expected = sum(ours[tensor] @ (scales[tensor].flatten() * theirs[tensor]).T for tensor in ours)
    bound = sum(ours[tensor].norm(dim=1)[:, None] * theirs[tensor].norm(dim=1) for tensor in ours)
    assert ((scores(engine, Question()) - expected).abs() <= 2 * ROUNDING * bound).all()
    squares = sum((ours[tensor].square() * scales[tensor].flatten()).sum(dim=1) for tensor in ours)
    torch.testing.assert_close(self_influence(engine, TRAIN) / LEARNING_RATE, squares, rtol=ROUNDING, atol=0)


def test_small_pieces_of_all_tails_give_the_same_influences(monkeypatch):
    engine = engine_for("RotatE", sides("RotatE", "softmax")[0], SoftMax())
    whole = scores(engine, Question())
    tile(monkeypatch, value_bytes=1)
    small = scores(engine_for("RotatE", sides("RotatE", "softmax")[0], SoftMax()), Question())
    torch.testing.assert_close(small, whole, rtol=1e-12, atol=1e-13)


def test_no_triples_have_no_influences_under_losses_of_all_tails():
    engine = engine_for("DistMult", ["entity_representations.0._embeddings.weight"], SoftMax())
    scorer = engine.scorer(engine.prepare(TEST, batch_size=8))
    (part,) = parts(scorer, TRAIN[:0].numpy())
    assert part.influences.shape == (0, len(TEST))
    assert self_influence(engine, TRAIN[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["RotatE", "TuckER"])
def test_a_batch_of_all_tails_takes_at_most_the_counted_bytes(name):
    model = model_of(name)
    config = model.config_with_tails()
    engine = engine_for(name, config.parameter_names, SoftMax())
    scorer = engine.scorer(engine.prepare(TEST, batch_size=8))
    with torch.no_grad():
        next(iter(parts(scorer, TRAIN.numpy())))
        with LiveBytes() as live:
            next(iter(parts(scorer, TRAIN.numpy())))
    assert 0 < live.peak_bytes <= tails_cost.tails_batch_bytes(config, len(TRAIN), len(TEST), engine.storage)


def test_a_model_that_cannot_score_all_tails_is_refused_with_the_reason():
    options = EngineOptions(precision="float32", recompute=False)
    with pytest.raises(ConfigError, match=r"reads the scores of all 17 entities .* has no method score_tails\(pairs\)"):
        KIND.refuse_unsupported(face("own"), OneToAll(), options)
    KIND.refuse_unsupported(model_of("own"), OneToAll(), options)
