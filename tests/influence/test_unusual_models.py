"""Influences of complex tables, parts of two names and unread tensors, and without forward mode, equal autograd's."""

import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.any_model import NUM_ENTITIES, NUM_RELATIONS, Bilinear, ask, step
from influence.indexed import parts, self_influence
from influence.unusual_models import (
    Complex,
    OldWaves,
    OneModule,
    ReadsTablesOnly,
    Recurrent,
    SharedTensor,
    Unread,
    Waves,
)
from torch import nn

from tracin_dask.errors import CheckpointError
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.kind import KIND
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.cost import Computing, Workload
from tracin_dask.influence.losses import BinaryCrossEntropy
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.checkpoints.adam import adam_scales
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.scoring import DerivativeWays

NO_FORWARD = DerivativeWays(has_forward_mode=False)
NOT_MAPPED = DerivativeWays(has_forward_mode=False, is_mapped=False)
MODELS = {
    Complex: DerivativeWays(),
    OneModule: DerivativeWays(),
    SharedTensor: DerivativeWays(),
    Unread: DerivativeWays(),
    ReadsTablesOnly: DerivativeWays(),
    Waves: NO_FORWARD,
    OldWaves: NOT_MAPPED,
}


def double(model):
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.to(torch.complex128 if tensor.is_complex() else torch.float64)
    return model


@pytest.fixture(params=MODELS)
def trained(request):
    torch.manual_seed(0)
    return double(request.param(NUM_ENTITIES, NUM_RELATIONS)).eval()


@pytest.fixture
def taken(trained, tmp_path):
    """The model as it is loaded from its file."""
    torch.save(trained.state_dict(), tmp_path / "state.pt")
    kind = type(trained)
    return load_checkpoint(tmp_path / "state.pt", description=ModelDescription(model=kind), dtype=torch.float64).model


def modes_for(config, tracked, num_tests):
    work = Workload(num_triples=100, num_heads=10, num_pairs=50, num_tests=num_tests)
    return KIND.cost(config, Computing(work=work, tracked=tracked, own_passes=0, itemsize=8, recompute=False)).modes


def engines(model, tracked):
    """Make an engine for one test triple, which takes forward mode, and one for many, which does not."""
    for num_tests in (1, 1000):
        yield GradientEngine(
            model=model,
            tracked=frozenset(tracked),
            loss=BinaryCrossEntropy(),
            learning_rate=LEARNING_RATE,
            modes=modes_for(model.config, frozenset(tracked), num_tests),
        )


def influences(engine):
    with torch.no_grad():
        prepared = prepare_question(engine, Question(), Targets(triples=TEST.numpy()), batch_size=3)
        scorer = make_scorer(engine, prepared, EachItsOwn(num_answers=len(TEST)))
        return next(iter(parts(scorer, TRAIN.numpy()))).influences / LEARNING_RATE


def test_scores_of_unusual_models_are_their_own(trained, taken):
    with torch.no_grad():
        expected = trained.score(TRAIN)
        assert torch.equal(taken.score(TRAIN), expected)
        torch.testing.assert_close(taken.score_rows(taken.rows(TRAIN), {}, TRAIN), expected)


@pytest.mark.fault(
    "complex tables, one part under two names, tensors that no score reads, no forward mode",
    promised="influences equal plain autograd, tensor by tensor",
)
def test_influences_of_unusual_models_agree_with_autograd_for_every_tensor(trained, taken):
    truth = ask(trained, TRAIN, TEST)
    assert set(taken.config.parameter_names) == set(truth.products)
    for tracked in (*([name] for name in truth.products), list(truth.products)):
        expected, bound = truth.together(tracked)
        squares = torch.stack([truth.train_norms[name] for name in tracked]).norm(dim=0).square()
        for engine in engines(taken, tracked):
            assert ((influences(engine) - expected).abs() <= ROUNDING * bound).all(), tracked
            with torch.no_grad():
                found = self_influence(engine, TRAIN) / LEARNING_RATE
            assert ((found - squares).abs() <= ROUNDING * squares).all(), tracked


def test_a_run_of_unusual_models_leaves_them_as_they_were(trained, taken):
    before = dict(taken.module.named_parameters())
    influences(next(engines(taken, before)))
    for name, tensor in taken.module.named_parameters(remove_duplicate=False):
        assert isinstance(tensor, nn.Parameter), name
        assert torch.equal(tensor, dict(trained.named_parameters(remove_duplicate=False))[name])


def test_ways_to_differentiate_are_found_when_a_model_is_loaded(trained, taken):
    assert taken.config.ways == MODELS[type(trained)]


def test_a_model_without_forward_mode_says_that_gradients_of_each_triple_are_made(taken):
    modes = [modes_for(taken.config, frozenset(taken.config.parameter_names), number) for number in (1, 1000)]
    if taken.config.ways.has_forward_mode:
        assert "no forward-mode derivatives" not in "".join(map(str, modes))
    else:
        for mode in modes:
            assert "gradients of each triple" in str(mode)
            assert "(operations of the model have no forward-mode derivatives)" in str(mode)
        assert ("one triple after the other" in str(modes[0])) != taken.config.ways.is_mapped


def test_a_recurrent_model_is_explained_triple_by_triple():
    torch.manual_seed(0)
    trained = Recurrent(NUM_ENTITIES, NUM_RELATIONS).double().eval()
    taken = ModelDescription(model=Recurrent).build(trained.state_dict(), dtype=torch.float64)
    truth = ask(trained, TRAIN, TEST)
    expected, bound = truth.together(truth.products)
    for engine in engines(taken, truth.products):
        assert ((influences(engine) - expected).abs() <= ROUNDING * bound).all()


def test_steps_of_adam_of_complex_parameters_have_a_number_for_each_part(tmp_path):
    torch.manual_seed(0)
    trained = double(Complex(NUM_ENTITIES, NUM_RELATIONS))
    optimizer = step(trained, TRAIN)
    path = tmp_path / "state.pt"
    torch.save({"state_dict": trained.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, path)
    checkpoint = load_checkpoint(path, description=ModelDescription(model=Complex), dtype=torch.float64)
    names = checkpoint.config.parameter_names
    scales = adam_scales(checkpoint, names)
    for number, (name, tensor) in enumerate(trained.named_parameters()):
        second = optimizer.state_dict()["state"][number]["exp_avg_sq"]
        second = torch.view_as_real(second) if tensor.is_complex() else second
        torch.testing.assert_close(scales[name], 1 / ((second / (1 - 0.999**3)).sqrt() + 1e-8))
        assert scales[name].shape == checkpoint.model.tensors()[name].shape


@pytest.mark.fault("complex weights for a model of real numbers", promised="one message")
def test_complex_weights_for_a_model_of_real_numbers_are_refused():
    torch.manual_seed(0)
    state = Bilinear(NUM_ENTITIES, NUM_RELATIONS).state_dict()
    state["entities"] = state["entities"].to(torch.complex64)
    with pytest.raises(CheckpointError, match="has complex numbers where the model has real ones: entities"):
        ModelDescription(model=Bilinear).build(state, dtype=torch.float32)


def test_a_file_with_other_numbers_under_the_second_name_is_refused():
    torch.manual_seed(0)
    state = dict(OneModule(NUM_ENTITIES, NUM_RELATIONS).state_dict())
    state["again.weight"] = state["again.weight"] + 1
    with pytest.raises(
        CheckpointError, match=r"tensors that are one in the model: relations\.weight and again\.weight"
    ):
        ModelDescription(model=OneModule).build(state, dtype=torch.float32)


def test_tensors_of_a_training_may_be_missing_or_left_over_but_parameters_may_not():
    torch.manual_seed(0)
    state = dict(SharedTensor(NUM_ENTITIES, NUM_RELATIONS).state_dict())
    of_training = {"loss.margin": torch.ones(1), "weight_regularizer.term": torch.ones(1)}
    ModelDescription(model=SharedTensor).build(state | of_training, dtype=torch.float32)
    with pytest.raises(CheckpointError, match=r"the file has unknown glossy\.weight"):
        ModelDescription(model=SharedTensor).build(state | {"glossy.weight": torch.ones(1)}, dtype=torch.float32)
    for name in ("gloss.bias", "gloss.weight"):
        with pytest.raises(CheckpointError, match=f"the file lacks {name}"):
            ModelDescription(model=SharedTensor).build(
                {n: t for n, t in state.items() if n != name}, dtype=torch.float32
            )
    state["gloss.bias"] = state["gloss.bias"].to(torch.int8)
    with pytest.raises(CheckpointError, match=r"gloss\.bias holds numbers of torch\.int8"):
        ModelDescription(model=SharedTensor).build(state, dtype=torch.float32)
