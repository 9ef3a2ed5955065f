"""Checkpoints of other programs: prefixes of wrappers, other keys, extra objects, other formats."""

import argparse
import builtins
import collections
import json
import os
import pathlib
import warnings
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from influence.any_model import AllDense, Bilinear
from models.conftest import TRAIN_PYTORCH, file_state, random_model
from pykeen.datasets import Nations
from pykeen.models import DistMult
from pykeen.training import SLCWATrainingLoop
from safetensors.torch import save_file
from torch import nn

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.checkpoints.adam import adam_scales
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile
from tracin_dask.models.checkpoints.series import find_files
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint

SIZES = {"embedding_height": 3, "embedding_width": 5}


@pytest.fixture
def model():
    return random_model(TRAIN_PYTORCH)


@pytest.fixture
def loaded(tmp_path):
    def loaded(contents, **options):
        torch.save(contents, tmp_path / "model.pt")
        return load_checkpoint(tmp_path / "model.pt", **options)

    return loaded


def assert_same(checkpoint, model) -> None:
    ours = checkpoint.model.module.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(ours[name], tensor) or name.endswith("num_batches_tracked")


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "model.module."])
def test_prefixes_of_wrappers_are_taken_off_and_that_is_said(prefix, model, loaded):
    checkpoint = loaded({"state_dict": prefixed(file_state(model), prefix)}, **SIZES)
    assert_same(checkpoint, model)
    (note,) = checkpoint.notes
    assert note == f"{prefix!r}, which a wrapper of the model adds, was taken off the names of its tensors"
    assert_same(replace(checkpoint, model=CheckpointFile.of(checkpoint).load().model), model)


def test_a_prefix_that_some_tensors_lack_is_not_taken_off(model, loaded):
    state = prefixed(file_state(model), "module.")
    state["fc.bias"] = state.pop("module.fc.bias")
    with pytest.raises(CheckpointError, match=r"not a ConvE of a known dialect"):
        loaded(state, **SIZES)


def test_the_steps_of_adam_are_found_behind_a_prefix(model, loaded):
    optimizer = torch.optim.Adam(model.named_parameters(), lr=0.25)
    sum(weight.square().sum() for weight in model.parameters()).backward()
    optimizer.step()
    plain = {"state_dict": file_state(model), "optimizer_state_dict": optimizer.state_dict()}
    wanted = adam_scales(loaded(plain, **SIZES), ["fc.weight"])["fc.weight"]
    wrapped = loaded(plain | {"state_dict": prefixed(file_state(model), "module.")}, **SIZES)
    assert torch.equal(adam_scales(wrapped, ["fc.weight"])["fc.weight"], wanted)


class Wrapped(nn.Module):
    """A class of one's own whose tensors have a name that a wrapper could have added."""

    tables: ClassVar = {f"model.{name}": role for name, role in Bilinear.tables.items()}

    def __init__(self, num_entities: int, num_relations: int) -> None:
        super().__init__()
        self.model = Bilinear(num_entities, num_relations)

    def score(self, triples):
        return self.model.score(triples)


class WrappedWithoutTables(nn.Module):
    """The same, of a class that reads ids as they are."""

    tables: ClassVar = {}

    def __init__(self, num_entities=6, num_relations=3) -> None:
        super().__init__()
        self.num_entities, self.num_relations = num_entities, num_relations
        self.model = AllDense(num_entities, num_relations)

    def score(self, triples):
        return self.model.score(triples)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("made_from", [Bilinear, Wrapped, WrappedWithoutTables])
def test_a_class_of_ones_own_keeps_its_own_names(prefix, made_from, loaded):
    model = made_from(6, 3)
    state = prefixed(model.state_dict(), prefix)
    optimizer = torch.optim.Adam(model.parameters())
    sum(weight.square().sum() for weight in model.parameters()).backward()
    optimizer.step()
    contents = {"state_dict": state, "optimizer_state_dict": optimizer.state_dict()}
    checkpoint = loaded(contents, description=ModelDescription(model=made_from))
    assert_same(checkpoint, model)
    assert bool(checkpoint.notes) == bool(prefix)
    names = checkpoint.config.parameter_names
    assert adam_scales(checkpoint, names).keys() == set(names)


@pytest.mark.parametrize("key", ["model_state_dict", "state_dict", "model_state", "model", "net"])
def test_the_state_dict_lies_under_any_of_the_usual_keys(key, model, loaded):
    assert_same(loaded({key: file_state(model), "epoch": 3, "config": SIZES}), model)


def test_the_first_of_several_state_dicts_counts_and_that_is_said(model, loaded):
    other = random_model(TRAIN_PYTORCH)
    other.fc.bias.data += 1
    best = {"model_state_dict": file_state(other), "epoch": 2}
    contents = {"ema": file_state(other), "net": file_state(other), "model": file_state(model), "best": best}
    checkpoint = loaded(contents, **SIZES)
    assert_same(checkpoint, model)
    assert checkpoint.notes == tuple(
        f"the weights are those of 'model'; the file's {key!r} has others, which are not used"
        for key in ("ema", "net", "best")
    )


def test_a_name_of_the_model_is_no_state_dict(model, loaded):
    assert_same(loaded({"model": "ConvE", "state_dict": file_state(model)}, **SIZES), model)


OBJECTS = {
    "numbers of numpy": np.float64(0.5),
    "arrays of numpy": np.arange(6).reshape(2, 3),
    "arrays of texts": np.array(["a", "b"], dtype=object),
    "settings": argparse.Namespace(lr=0.1, path=pathlib.Path("/data"), sizes=[1, 2]),
    "a path": pathlib.PurePosixPath("/data/model.pt"),
    "a defaultdict": collections.defaultdict(list, a=[1]),
    "an OrderedDict": collections.OrderedDict(a=1),
    "a Counter": collections.Counter("aab"),
    "the version": torch.__version__,
    "a set": {1, 2},
    "bytes": b"\x00\xff",
    "a device": torch.device("cpu"),
    "a type": torch.float32,
    "a size": torch.Size([1, 2]),
    "random state": torch.random.get_rng_state(),
    "a complex number": 1 + 2j,
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("what", OBJECTS)
def test_harmless_objects_beside_the_weights_are_read_without_unpickling(what, protocol, model, tmp_path):
    contents = {"state_dict": file_state(model), "beside": OBJECTS[what], "epoch": np.int64(3)}
    torch.save(contents, tmp_path / "model.pt", pickle_protocol=protocol)
    checkpoint = load_checkpoint(tmp_path / "model.pt", **SIZES)
    assert_same(checkpoint, model)
    assert checkpoint.epoch == 3


def test_the_name_of_an_optimiser_is_no_state_of_one(model, loaded):
    checkpoint = loaded({"state_dict": file_state(model), "optimizer": "Adam"}, **SIZES)
    assert checkpoint.usable_learning_rate() is None


def test_sizes_are_read_from_a_namespace(model, loaded):
    assert_same(loaded({"state_dict": file_state(model), "args": argparse.Namespace(**SIZES)}), model)


class Dangerous:
    """Runs a program when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_dangerous_objects_are_never_called(model, loaded, tmp_path):
    with pytest.raises(CheckpointError, match=r"can run code \(posix\.mkdir\).*--trust-pickle"):
        loaded({"state_dict": file_state(model), "beside": Dangerous(tmp_path / "made")}, **SIZES)
    assert not (tmp_path / "made").exists()


class Trainer:
    """A class of a program that is not harmless."""


@pytest.mark.parametrize("value", ["state dict", "module"])
def test_a_trusted_dictionary_gives_its_state_dict_or_its_model(value, loaded):
    model = Bilinear(6, 3)
    held = model.state_dict() if value == "state dict" else model
    contents = {"model": held, "trainer": Trainer(), "learning_rate": 0.25, "epoch": 3}
    options = {"description": ModelDescription(model=Bilinear)} if value == "state dict" else {}
    with pytest.raises(CheckpointError, match=r"--trust-pickle"):
        loaded(contents, **options)
    checkpoint = loaded(contents, trust_pickle=True, **options)
    assert_same(checkpoint, model)
    assert (checkpoint.learning_rate, checkpoint.epoch) == (0.25, 3)
    file = CheckpointFile.of(checkpoint)
    assert file.is_pickle  # so that only the client unpickles it
    sent = replace(file, sent=file.dump())
    assert_same(replace(checkpoint, model=sent.load().model), model)


def test_a_trusted_dictionary_can_hold_a_conve(model, loaded):
    checkpoint = loaded({"state_dict": file_state(model), "trainer": Trainer()}, trust_pickle=True, **SIZES)
    assert_same(checkpoint, model)
    assert CheckpointFile.of(checkpoint).is_pickle


def test_a_file_that_needs_no_trust_is_read_without_and_that_is_said(model, loaded):
    checkpoint = loaded({"state_dict": file_state(model)}, trust_pickle=True, **SIZES)
    assert not checkpoint.format.is_pickle
    assert checkpoint.notes == ("it was read without unpickling anything: --trust-pickle is not needed",)


def test_a_whole_model_in_a_dictionary_needs_no_description(loaded):
    with pytest.raises(ConfigError, match="needs no description; leave the description out"):
        loaded({"model": Bilinear(6, 3)}, trust_pickle=True, description=ModelDescription(model=Bilinear))


def test_a_checkpoint_of_lightning_is_read_with_its_settings_and_optimiser(model, tmp_path):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25)
    contents = {
        "epoch": 4,
        "global_step": 100,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed(file_state(model), "model."),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"completed": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'mrr'}": {"best_model_score": torch.tensor(0.3), "dirpath": "/x"}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": SIZES | {"lr": 0.25},
    }
    torch.save(contents, tmp_path / "epoch=4.ckpt")
    checkpoint = load_checkpoint(tmp_path / "epoch=4.ckpt")
    assert_same(checkpoint, model)
    assert (checkpoint.epoch, checkpoint.learning_rate) == (4, 0.25)


def test_two_optimisers_of_lightning_have_no_learning_rate(model, loaded):
    states = [torch.optim.Adam(model.parameters(), lr=rate).state_dict() for rate in (0.1, 0.2)]
    checkpoint = loaded({"state_dict": file_state(model), "optimizer_states": states}, **SIZES)
    with pytest.raises(CheckpointError, match="its optimizer_states are of 2 optimisers; only one can be used"):
        checkpoint.usable_learning_rate()


def test_a_safetensors_file_is_read_with_its_metadata(model, tmp_path):
    texts = {"model_config": json.dumps(SIZES), "learning_rate": "0.25", "epoch": "3", "format": "pt"}
    save_file(file_state(model), tmp_path / "model.safetensors", metadata=texts)
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    assert_same(checkpoint, model)
    assert (checkpoint.learning_rate, checkpoint.epoch) == (0.25, 3)
    assert "safetensors has no checksums" in checkpoint.notes[0]
    assert_same(replace(checkpoint, model=CheckpointFile.of(checkpoint).load().model), model)


def test_a_damaged_safetensors_file_is_refused(model, tmp_path):
    save_file(file_state(model), tmp_path / "model.safetensors")
    data = (tmp_path / "model.safetensors").read_bytes()
    for keep in (len(data) - 1, 100):
        (tmp_path / "model.safetensors").write_bytes(data[:keep])
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(tmp_path / "model.safetensors", **SIZES)


def test_without_the_library_a_safetensors_file_is_refused_with_the_extra(model, tmp_path, monkeypatch):
    save_file(file_state(model), tmp_path / "model.safetensors")
    real = builtins.__import__

    def missing(name, *more):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(CheckpointError, match=r"pip install 'tracin-dask\[safetensors\]'"):
        load_checkpoint(tmp_path / "model.safetensors", **SIZES)


def test_a_folder_gives_checkpoints_of_all_usual_suffixes(tmp_path):
    names = ["1.pt", "2.pth", "3.ckpt", "4.model", "5.safetensors"]
    for name in [*names, "6.txt", "7.json"]:
        (tmp_path / name).touch()
    assert [file.name for file in find_files(tmp_path)] == names


@pytest.fixture(scope="module", params=[False, True], ids=["relations", "with inverses"])
def pykeens(request, tmp_path_factory):
    """Give a checkpoint that PyKEEN's training wrote, its factory and its model."""
    folder = tmp_path_factory.mktemp("pykeen")
    factory = Nations(create_inverse_triples=request.param).training
    model = DistMult(triples_factory=factory, embedding_dim=4, random_seed=0)
    loop = SLCWATrainingLoop(model=model, triples_factory=factory, optimizer="adam", optimizer_kwargs={"lr": 0.25})
    options = {"checkpoint_directory": folder, "checkpoint_name": "model.pt", "checkpoint_frequency": 0}
    with warnings.catch_warnings(action="ignore"):  # PyKEEN's advice about its own defaults
        loop.train(factory, num_epochs=2, batch_size=512, use_tqdm=False, **options)
    return folder / "model.pt", factory, model


DISTMULT = ModelDescription(model="DistMult", model_kwargs={"embedding_dim": 4})


def test_a_checkpoint_of_pykeens_training_is_read_with_its_id_maps(pykeens):
    path, factory, model = pykeens
    checkpoint = load_checkpoint(path, description=DISTMULT)
    assert_same(checkpoint, model)
    assert (checkpoint.learning_rate, checkpoint.epoch) == (0.25, 2)
    assert checkpoint.notes == ()
    assert {label: number for number, label in enumerate(checkpoint.labels.entities)} == factory.entity_to_id
    labels = checkpoint.labels.relations
    inverter, step = factory.relation_inverter, 2 if factory.create_inverse_triples else 1
    for label, number in factory.relation_to_id.items():
        assert labels[number * step] == label
        if factory.create_inverse_triples:
            assert labels[inverter.get_inverse_id(number * step)] == f"{label}_inverse"


def test_the_steps_of_adam_are_read_from_a_checkpoint_of_pykeens_training(pykeens):
    checkpoint = load_checkpoint(pykeens[0], description=DISTMULT)
    found = adam_scales(checkpoint, checkpoint.config.parameter_names)
    assert {name: scale.shape for name, scale in found.items()} == {
        name: weight.shape for name, weight in pykeens[2].named_parameters()
    }


MAPS = {
    "no dictionary": ([1, 2], "its entity id map is not a dictionary of labels and ids"),
    "an id twice": ({"a": 0, "b": 0}, "its entity id map has a label or an id twice"),
    "a gap": ({"a": 0, "b": 2}, "its entity id map has not every id from 0 to 1"),
    "another number": ({"a": 0, "b": 1}, "its id map names 2 entities, and its table has 7 rows"),
    "no numbers": ({"a": "x"}, "its entity id map is not a dictionary of labels and ids"),
}


@pytest.mark.parametrize("kind", MAPS)
def test_damaged_id_maps_of_a_checkpoint_are_refused(kind, model, loaded):
    entities, message = MAPS[kind]
    maps = {"entity_to_id_dict": entities, "relation_to_id_dict": {"r": 0, "s": 1, "t": 2}}
    with pytest.raises(CheckpointError, match=message):
        loaded({"state_dict": file_state(model)} | maps, **SIZES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding_dim": 10**9}, "make a model of .* values, and the file holds"),
        ({"embedding_dim": 10**5000}, "hold a number of 16,610 bits; no model is as large"),
        ({"embedding_dim": [[4] * 100] * 100}, "are more than 1,000; no model has as many"),
    ],
    ids=["huge", "digits", "many"],
)
def test_absurd_settings_that_a_file_states_are_refused_before_a_model_is_made(settings, message, loaded):
    state = {f"{role}_representations.0._embeddings.weight": torch.ones(3, 4) for role in ("entity", "relation")}
    description = {"model": "DistMult", "model_kwargs": settings}
    with pytest.raises(CheckpointError, match=message):
        loaded({"state_dict": state, "model_description": description})
