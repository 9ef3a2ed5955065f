"""Checkpoint files of every shape and dialect give back the model; every damaged one is refused by name."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import check_fits
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.runs.inputs.learning_rates import settle_learning_rates

SIZES = ("num_entities", "num_relations", "embedding_dim", "embedding_height", "embedding_width")


def stated_sizes(config):
    return {name: getattr(config, name) for name in SIZES}


def with_optimizer(state, config):
    return {
        "epoch": 4,
        "model_state_dict": state,
        "model_config": stated_sizes(config),
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.02}]},
        "metrics": {"mean_reciprocal_rank": 0.5},
    }


HUGE = pytest.param(10**5000, id="5,000 digits")
SHAPES = {
    "with optimizer": with_optimizer,
    "with config": lambda state, config: {"model_state_dict": state, "config": stated_sizes(config)},
    "with nested config": lambda state, config: {
        "model_state_dict": state,
        "config": {"model": stated_sizes(config), "training": {"batch_size": 256}},
    },
    "with version": lambda state, _config: {"state_dict": state, "version": "1.0"},
    "bare": lambda state, _config: state,
}


@pytest.fixture
def save(tmp_path):
    def save(contents):
        path = tmp_path / "model.pt"
        torch.save(contents, path)
        return path

    return save


@pytest.fixture
def pytorch_state(make_model, make_state):
    config = ConvEConfig(
        num_entities=7, num_relations=3, embedding_dim=15, embedding_height=3, embedding_width=5, output_channels=2
    )
    return make_state(make_model(config))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_file_layout_of_a_checkpoint_loads_the_model(shape, model, state, config, save):
    checkpoint = load_conve(save(SHAPES[shape](state, config)))
    heads, relations = torch.arange(7), torch.arange(7) % 3
    with torch.no_grad():
        assert torch.equal(checkpoint.model(heads, relations), model(heads, relations))
    assert checkpoint.config == config
    assert not checkpoint.model.training


def test_a_loaded_checkpoint_has_the_metadata_of_its_file(model, state, config, save):
    contents = with_optimizer(state, config)
    path = save({**contents, "id_maps_sha256": "ab"})
    checkpoint = load_conve(path)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (checkpoint.epoch, checkpoint.id_maps_sha256, Path(checkpoint.path)) == (4, "ab", path)
    assert checkpoint.format.name == ("train_pytorch" if model.config.stacking == "width" else "pykeen")


def test_a_stated_learning_rate_takes_precedence_over_that_of_the_optimizer(state, config, save):
    contents = with_optimizer(state, config)
    assert load_conve(save(contents)).learning_rate == 0.02
    assert load_conve(save({**contents, "learning_rate": 0.5})).learning_rate == 0.5
    assert load_conve(save(state)).learning_rate is None


def test_loaded_weights_have_the_requested_type_and_outlive_the_file(state, model, save):
    path = save({"state_dict": state, "version": 1})
    checkpoint = load_conve(path, dtype=torch.float64)
    path.write_bytes(b"overwritten")
    assert {parameter.dtype for parameter in checkpoint.model.parameters()} == {torch.float64}
    assert torch.equal(checkpoint.model.fc.weight, model.fc.weight.double())


def test_files_of_the_older_torch_format_load(state, model, tmp_path):
    path = tmp_path / "old.pt"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_conve(path).model.fc.weight, model.fc.weight)


class Stranger:
    """A class that a checkpoint has no business with."""


@pytest.mark.fault("a checkpoint that needs unpickling", promised="refused until --trust-pickle is given")
def test_a_file_that_needs_unpickling_is_refused(save, pytorch_state):
    path = save({"model_state_dict": pytorch_state, "trainer": Stranger()})
    with pytest.raises(CheckpointError, match=r"(?s)model\.pt: .*can run code.*Stranger.*only tensors, numbers"):
        load_conve(path)


def test_a_missing_checkpoint_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt: there is no such file"):
        load_conve(tmp_path / "none.pt")


@pytest.mark.parametrize("keep", [0, 100, -200])
def test_a_damaged_checkpoint_file_is_refused(keep, save, pytorch_state):
    path = save(pytorch_state)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a torch file, or a damaged one"):
        load_conve(path)


def test_a_checkpoint_file_without_a_dictionary_is_refused(save):
    with pytest.raises(CheckpointError, match="holds a list; a checkpoint is a dictionary"):
        load_conve(save([1, 2]))


def test_a_state_dict_that_is_not_a_dictionary_is_refused(save):
    with pytest.raises(CheckpointError, match="model_state_dict is not a dictionary of named tensors"):
        load_conve(save({"model_state_dict": [1]}))


def test_state_dict_entries_that_are_not_tensors_are_refused(save, pytorch_state):
    with pytest.raises(CheckpointError, match=r"none of model_state_dict, state_dict, .* is there, and 'weights'"):
        load_conve(save({"weights": pytorch_state}))
    with pytest.raises(CheckpointError, match=r"'fc\.bias' in state_dict is not a tensor"):
        load_conve(save({"state_dict": {**pytorch_state, "fc.bias": 1.0}}))


def test_an_unknown_dialect_is_refused(save):
    with pytest.raises(CheckpointError, match=r"neither entity_embeddings\.weight .*among its entries emb\.weight"):
        load_conve(save({"emb.weight": torch.ones(2, 2)}))


@pytest.mark.fault("a tensor is missing", promised="one message that names it")
@pytest.mark.parametrize(
    "names",
    [("bn0.running_var", "interaction.hr2d.0.running_var"), ("fc.bias", "entity_representations.1._embeddings.weight")],
)
def test_missing_tensors_of_a_checkpoint_are_named(names, state, save):
    name = next(name for name in names if name in state)
    with pytest.raises(CheckpointError, match=f"lacks {name}; that is another model"):
        load_conve(save({key: tensor for key, tensor in state.items() if key != name}))


def test_unknown_tensors_of_a_checkpoint_are_named(state, save):
    with pytest.raises(CheckpointError, match=r"has the unknown fc2\.weight; that is another model"):
        load_conve(save({**state, "fc2.weight": torch.ones(1)}))


def test_a_long_list_of_missing_tensors_is_cut(save):
    with pytest.raises(CheckpointError, match=r"not a ConvE: it has none of its layers, bn0\.bias, .* and 11 more$"):
        load_conve(save({"entity_embeddings.weight": torch.ones(2, 2)}))


@pytest.mark.fault("a tensor of another shape", promised="one message with both shapes")
def test_a_tensor_of_another_shape_is_named_with_both_shapes(save, pytorch_state):
    state = {**pytorch_state, "bn1.bias": torch.ones(5)}
    with pytest.raises(CheckpointError, match=r"bn1\.bias has the shape \(5,\); the other tensors ask for \(2,\)"):
        load_conve(save(state))


@pytest.mark.fault("weights that are not finite", promised="one message with their number")
def test_non_finite_weights_are_counted_and_named(save, pytorch_state):
    pytorch_state["conv1.weight"][0, 0, :2, 0] = torch.tensor([torch.nan, torch.inf])
    with pytest.raises(CheckpointError, match=r"conv1\.weight has 2 NaN or infinite values of 18"):
        load_conve(save(pytorch_state))


def test_finite_weights_whose_sum_is_not_are_taken(save, pytorch_state):
    pytorch_state["conv1.weight"][:] = torch.finfo(torch.float32).max
    assert load_conve(save(pytorch_state)).model.state_dict()["conv1.weight"].isfinite().all()


def test_negative_variances_are_refused(save, pytorch_state):
    pytorch_state["bn1.running_var"][1] = -1
    with pytest.raises(CheckpointError, match=r"bn1\.running_var has 1 negative values of 2"):
        load_conve(save(pytorch_state))


@pytest.mark.fault("an invalid learning rate in a checkpoint", promised="one message, where it is used")
@pytest.mark.parametrize("rate", [0, 0.0, -1.0, float("nan"), "fast", True, torch.ones(2), HUGE])
def test_an_invalid_learning_rate_of_a_checkpoint_is_refused_where_it_would_be_used(rate, save, pytorch_state):
    checkpoint = load_conve(save({"model_state_dict": pytorch_state, "learning_rate": rate}))
    assert settle_learning_rates((0.5,), [checkpoint]) == (0.5,)
    with pytest.raises(
        CheckpointError, match=r"model\.pt: its learning rate is .*; expected a number above 0; give one"
    ):
        settle_learning_rates((), [checkpoint])


@pytest.mark.parametrize("rate", [torch.tensor(0.25), torch.tensor([0.25]), np.float32(0.25), np.float64(0.25)])
def test_a_learning_rate_is_read_from_a_tensor_and_from_a_number_of_numpy(rate, save, pytorch_state):
    assert load_conve(save({"model_state_dict": pytorch_state, "learning_rate": rate})).learning_rate == 0.25
    optimizer = {"state": {}, "param_groups": [{"lr": rate, "params": [0]}]}
    assert load_conve(save({"state_dict": pytorch_state, "optimizer_state_dict": optimizer})).learning_rate == 0.25


@pytest.mark.parametrize("epoch", [3, 3.0, torch.tensor(3), np.int64(3), np.float32(3)])
def test_whole_numbers_of_any_type_are_epochs(epoch, save, pytorch_state):
    found = load_conve(save({"model_state_dict": pytorch_state, "epoch": epoch})).epoch
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("epoch", ["last", 3.5, float("inf"), True, HUGE, torch.ones(2)])
def test_anything_else_as_an_epoch_is_refused(epoch, save, pytorch_state):
    with pytest.raises(CheckpointError, match=r"its epoch is .*; expected a whole number"):
        load_conve(save({"model_state_dict": pytorch_state, "epoch": epoch}))


def test_a_checkpoint_that_fits_the_id_maps_is_accepted(state, save):
    checkpoint = load_conve(save(state))
    check_fits(checkpoint, num_entities=7, num_relations=3, id_maps_sha256="ab")


@pytest.mark.parametrize(
    ("entities", "relations", "message"),
    [(8, 3, "trained with 7 entities, the id map has 8"), (7, 1, "trained with 3 relations, the id map has 1")],
)
def test_a_checkpoint_of_another_size_is_refused_with_both_numbers(entities, relations, message, state, save):
    checkpoint = load_conve(save(state))
    with pytest.raises(CheckpointError, match=message):
        check_fits(checkpoint, num_entities=entities, num_relations=relations)


@pytest.mark.fault("a checkpoint of other id maps", promised="one message")
def test_a_checkpoint_of_other_id_maps_is_refused(state, save):
    checkpoint = replace(load_conve(save(state)), id_maps_sha256="ab")
    check_fits(checkpoint, num_entities=7, num_relations=3, id_maps_sha256="ab")
    check_fits(checkpoint, num_entities=7, num_relations=3)
    with pytest.raises(CheckpointError, match=r"other id maps of the same size \(sha256 ab, these have cd\)"):
        check_fits(checkpoint, num_entities=7, num_relations=3, id_maps_sha256="cd")


def test_loading_a_checkpoint_does_not_import_the_torch_compiler(tmp_path):
    """It would take two seconds in the client and in every worker."""
    sizes = {"embedding_dim": 32, "embedding_height": 8, "embedding_width": 4}
    path = tmp_path / "model.pt"
    torch.save({"model_state_dict": ConvE(ConvEConfig(num_entities=5, num_relations=2, **sizes)).state_dict()}, path)
    program = (
        "import sys; from tracin_dask.models.conve.load import load_conve; "
        f"load_conve({str(path)!r}, embedding_height=8, embedding_width=4); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
