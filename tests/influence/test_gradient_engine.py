"""The engine for any model agrees with plain autograd on that model, tensor by tensor."""

import numpy as np
import oracle
import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.agreement import engine_for as pair_engine
from influence.any_model import (
    NUM_ENTITIES,
    NUM_RELATIONS,
    OWN,
    SETTINGS,
    Bilinear,
    ask,
    face,
    of_negatives,
    own_bce,
    score,
    truth_of,
)
from influence.indexed import parts, self_influence, training_lengths
from influence.live_bytes import LiveBytes
from influence.tiled import tile
from pykeen.models import model_resolver
from pykeen.triples import CoreTriplesFactory

from tracin_dask.influence.autograd import cost as gradient_cost
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy
from tracin_dask.influence.normalised import question_lengths
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.conve.dialects import PYKEEN, rename_tensors
from tracin_dask.models.conve.load import build_model
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.pykeen.conve import read_config
from tracin_dask.models.whole_model import face_of

MODELS = [*SETTINGS, *OWN]


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
        prepared = prepare_question(engine, question or Question(), Targets(triples=test.numpy()), batch_size=3)
        scorer = make_scorer(engine, prepared, EachItsOwn(num_answers=len(test)))
        (part,) = parts(scorer, train.numpy())
    assert part.rows.tolist() == list(range(len(train)))
    return part.influences / LEARNING_RATE


def own(engine):
    with torch.no_grad():
        return self_influence(engine, TRAIN) / LEARNING_RATE


def check(found, truth, names, rounding=ROUNDING):
    expected, bound = truth.together(names)
    assert ((found - expected).abs() <= rounding * bound).all(), names


@pytest.mark.parametrize("name", MODELS)
def test_influences_of_every_model_agree_with_autograd_for_every_tensor(name):
    model, truth = face(name), truth_of(name)
    assert set(model.config.parameter_names) == set(truth.products)
    for tracked in ([n] for n in truth.products):
        for forward in (False, True):
            check(scores(engine_for(model, tracked, forward=forward)), truth, tracked)
    everything = list(truth.products)
    for forward in (False, True):
        check(scores(engine_for(model, everything, forward=forward)), truth, everything)


class Tied(Bilinear):
    """Uses one matrix in two places."""

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.again = torch.nn.Linear(5, 5)
        self.again.weight = self.mix.weight

    def score(self, triples):
        head, _, tail = triples.T
        return self.again(self.mix(self.entities[head, 0])).mul(self.entities[tail, 0]).sum(dim=1)


def test_a_shared_parameter_stays_shared_after_loading():
    torch.manual_seed(0)
    trained = Tied(NUM_ENTITIES, NUM_RELATIONS).double()
    model = ModelDescription(model=Tied).build(trained.state_dict(), dtype=torch.float64)
    truth = ask(trained, TRAIN, TEST)
    assert set(model.config.parameter_names) == set(truth.products)
    for forward in (False, True):
        check(scores(engine_for(model, ["mix.weight"], forward=forward)), truth, ["mix.weight"])


def of_parts(tracked, truth):
    return torch.stack([truth.train_norms[name] for name in tracked]).norm(dim=0).square()


@pytest.mark.parametrize("name", MODELS)
def test_self_influence_of_every_model_agrees_with_autograd(name):
    model, truth = face(name), truth_of(name)
    for tracked in (*([n] for n in truth.products), list(truth.products)):
        found = own(engine_for(model, tracked))
        expected = of_parts(tracked, truth)
        assert ((found - expected).abs() <= ROUNDING * expected).all(), tracked


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_pieces_of_a_batch_give_the_influences_of_the_whole(name, forward, monkeypatch):
    model, truth = face(name), truth_of(name)
    tile(monkeypatch, rows=3, directions=3)
    check(scores(engine_for(model, truth.products, forward=forward)), truth, list(truth.products))
    found = own(engine_for(model, truth.products))
    expected = of_parts(truth.products, truth)
    assert ((found - expected).abs() <= ROUNDING * expected).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_autograd_engine_in_float32_agrees_with_float64(name):
    truth = truth_of(name)
    engine = engine_for(face(name, torch.float32), truth.products, forward=True)
    assert scores(engine).dtype == torch.float32
    check(scores(engine).double(), truth, list(truth.products), rounding=1e-4)


class Squared:
    name = "squared"

    def value(self, scores):
        return (scores - 1.0) ** 2


def of_own(value):
    """Make a loss of a triple from one of its score."""
    return lambda model, triple: value(score(model, triple[None]))[0]


NEGATIVES = SLCWA(num_negatives=2, seed=3)
LOSSES = {"squared": (Squared(), of_own(Squared().value)), "slcwa": (NEGATIVES, of_negatives(NEGATIVES))}
OTHER_TAILS = (TEST[:, 2] + 3) % NUM_ENTITIES


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("name", ["TransE", "TuckER", "own"])
@pytest.mark.parametrize("kind", LOSSES)
def test_other_losses_contrasts_and_norms_agree_with_autograd(name, kind, forward):
    model, (loss, plain) = face(name), LOSSES[kind]
    asked = torch.column_stack([TEST, OTHER_TAILS])
    truth = ask(model.model, TRAIN, asked, plain, oracle.of_contrast(plain))
    tracked = list(truth.products)
    engine, question = engine_for(model, tracked, forward=forward, loss=loss), Question(is_contrast=True)
    targets = Targets(triples=TEST.numpy(), contrast_tails=OTHER_TAILS.numpy())
    with torch.no_grad():
        factors = prepare_question(engine, question, targets, batch_size=3)
        scorer = make_scorer(engine, factors, EachItsOwn(num_answers=len(TEST)))
        found = next(iter(parts(scorer, TRAIN.numpy()))).influences / LEARNING_RATE
        lengths = training_lengths([engine, engine], TRAIN.numpy()), question_lengths([engine], question, targets)
        norms = [side.norms for side in lengths]
    check(found, truth, tracked)
    lengths = [torch.stack(list(side.values())).norm(dim=0) for side in (truth.train_norms, truth.test_norms)]
    torch.testing.assert_close(norms[0], (2 * LEARNING_RATE) ** 0.5 * lengths[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(norms[1], LEARNING_RATE**0.5 * lengths[1], rtol=1e-7, atol=1e-12)


def test_explained_scores_of_other_models_agree_with_autograd():
    model = face("TuckER")
    truth = ask(model.model, TRAIN, TEST, own_bce, of_own(lambda scores: -scores))
    found = scores(engine_for(model, truth.products, forward=True), question=Question(explain="score"))
    check(found, truth, list(truth.products))


def test_both_engines_agree_on_pykeens_conve():
    theirs = face("ConvE")
    ours = build_model(
        read_config(theirs.model), rename_tensors(theirs.model.state_dict(), PYKEEN), dtype=torch.float64
    )
    expected = scores(pair_engine(ours, ours.config.parameter_names))
    truth = truth_of("ConvE")
    found = scores(engine_for(theirs, truth.products, forward=True))
    assert ((found - expected).abs() <= ROUNDING * truth.together(truth.products)[1]).all()


@pytest.mark.parametrize("name", ["RotatE", "TuckER"])
def test_the_autograd_engine_allocates_nothing_as_large_as_a_table(name):
    graph = CoreTriplesFactory(torch.empty((0, 3), dtype=torch.int64), num_entities=50_000, num_relations=9)
    model = face_of(model_resolver.lookup(name)(triples_factory=graph, random_seed=0, embedding_dim=4))
    table = 4 * 50_000 * max(entry.row_size for entry in model.config.tables)
    engine = engine_for(model, model.config.parameter_names, forward=True)
    with LiveBytes() as live, torch.no_grad():
        test = prepare_question(engine, Question(), Targets(triples=TEST.numpy()), batch_size=8)
        scorer = make_scorer(engine, test, EachItsOwn(num_answers=len(TEST)))
        assert next(iter(parts(scorer, TRAIN.numpy()))).influences.any()
        assert (self_influence(engine, TRAIN) > 0).all()
    assert 0 < live.peak_bytes < table / 4


@pytest.mark.parametrize(("name", "forward"), [("ComplEx", True), ("TuckER", False), ("TuckER", True), ("ConvE", True)])
def test_a_batch_of_the_autograd_engine_takes_at_most_the_counted_bytes(name, forward, monkeypatch):
    tile(monkeypatch, value_bytes=2**16)
    model = face(name)
    engine = engine_for(model, model.config.parameter_names, forward=forward)
    train = torch.from_numpy(np.tile(TRAIN.numpy(), (12, 1)))
    with torch.no_grad():
        test = prepare_question(engine, Question(), Targets(triples=TEST.numpy()), batch_size=8)
        scorer = make_scorer(engine, test, EachItsOwn(num_answers=len(TEST)))
        next(iter(parts(scorer, train.numpy())))
        with LiveBytes() as live:
            next(iter(parts(scorer, train.numpy())))
    counted = gradient_cost.batch_bytes(
        model.config, len(train), len(TEST), engine.tracked, engine.modes, storage=engine.storage
    )
    assert counted / 8 < live.peak_bytes <= counted
