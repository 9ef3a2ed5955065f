"""A dialect of one's own: files of its program are read, converted and sent to workers."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.influence.preconditioners.adam import Adam
from tracin_dask.models.checkpoints.adam import adam_scales
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile
from tracin_dask.models.conve.convert import convert_checkpoint
from tracin_dask.models.conve.dialects import DIALECTS, PYKEEN, Dialect, module_tensors, register_dialect
from tracin_dask.models.conve.load import load_conve

NAMES = {"entity_embeddings": "ent", "relation_embeddings": "rel"}
BIAS = {"b": "entity_bias"}
BIASED = Dialect(name="biased", stacking="height", tensors=module_tensors(**NAMES) | BIAS)
UNBIASED = Dialect(name="unbiased", stacking="height", tensors=module_tensors(leave_out=["conv1.bias"], **NAMES) | BIAS)
SIZES = {"embedding_height": 3, "embedding_width": 5}
NUM_ENTITIES, NUM_RELATIONS, DIM, CHANNELS = 7, 3, 15, 2
TRIPLES = torch.tensor([[0, 1, 2], [5, 0, 5], [3, 2, 0], [6, 1, 6]])


class Theirs(nn.Module):
    """ConvE as a program of one's own has it; its convolution has a bias or not."""

    def __init__(self, *, use_bias: bool) -> None:
        super().__init__()
        self.ent = nn.Embedding(NUM_ENTITIES, DIM)
        self.rel = nn.Embedding(NUM_RELATIONS, DIM)
        self.conv1 = nn.Conv2d(1, CHANNELS, (3, 3), bias=use_bias)
        self.bn0, self.bn1, self.bn2 = nn.BatchNorm2d(1), nn.BatchNorm2d(CHANNELS), nn.BatchNorm1d(DIM)
        self.register_parameter("b", nn.Parameter(torch.zeros(NUM_ENTITIES)))
        self.fc = nn.Linear(CHANNELS * 4 * 3, DIM)

    def forward(self, head, relation):
        image = torch.cat([self.ent(head).view(-1, 1, 3, 5), self.rel(relation).view(-1, 1, 3, 5)], 2)
        x = torch.relu(self.bn1(self.conv1(self.bn0(image))))
        x = torch.relu(self.bn2(self.fc(x.view(len(head), -1))))
        return x @ self.ent.weight.T + self.b


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr("tracin_dask.models.conve.dialects.DIALECTS", dict(DIALECTS))
    register_dialect(BIASED)
    register_dialect(UNBIASED)


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def theirs(request) -> Theirs:
    """Give a model whose every tensor, statistics included, is random."""
    generator = torch.Generator().manual_seed(1)
    model = Theirs(use_bias=request.param).double().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(0.3 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64))
    return model


@pytest.fixture
def path(theirs, tmp_path) -> Path:
    """Give a file of it, with the state of an optimiser."""
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    theirs(TRIPLES[:, 0], TRIPLES[:, 1]).square().sum().backward()
    optimizer.step()
    contents = {"model_state_dict": theirs.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    torch.save(contents, tmp_path / "theirs.model")
    return tmp_path / "theirs.model"


def scores(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TRIPLES[:, 0], TRIPLES[:, 1])


def test_a_file_of_a_new_dialect_scores_as_its_program(theirs, path):
    checkpoint = load_conve(path, **SIZES, dtype=torch.float64)
    has_bias = theirs.conv1.bias is not None
    assert checkpoint.format.name == ("biased" if has_bias else "unbiased")
    assert checkpoint.model.config.has_convolution_bias is has_bias
    torch.testing.assert_close(scores(checkpoint.model), scores(theirs), rtol=0, atol=1e-12)


def test_the_parameters_of_a_new_dialect_are_those_of_its_program(theirs, path):
    config = load_conve(path, **SIZES).model.config
    ours = {theirs: ours for dialect in (BIASED, UNBIASED) for theirs, ours in dialect.tensors.items()}
    assert set(config.parameter_names) == {ours[name] for name, _ in theirs.named_parameters()}
    assert config.cancelled_parameters <= set(config.parameter_names)
    assert config.last_layers(11) <= set(config.parameter_names)


def test_adams_steps_are_read_from_a_file_of_a_new_dialect(theirs, path):
    checkpoint = load_conve(path, **SIZES, dtype=torch.float64)
    names = checkpoint.model.config.parameter_names
    found = adam_scales(checkpoint, names)
    assert set(found) == set(names)
    moment = 0.001 * theirs.b.grad.square()
    expected = 1 / ((moment / 0.001).sqrt() + 1e-8)
    torch.testing.assert_close(found["entity_bias"], expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("to", ["pykeen", "train_pytorch"])
def test_a_file_of_a_new_dialect_is_converted_to_another_and_back(theirs, path, tmp_path, to):
    if to == "train_pytorch":
        torch.nn.init.zeros_(theirs.b)
        torch.save(theirs.state_dict(), path)
    given = convert_checkpoint(path, tmp_path / "made.pt", to, **SIZES)
    made = load_conve(tmp_path / "made.pt", dtype=torch.float64)
    assert made.format.name == to
    torch.testing.assert_close(scores(made.model), scores(theirs), rtol=0, atol=1e-12)
    convert_checkpoint(tmp_path / "made.pt", tmp_path / "again.pt", given.format.name)
    again = torch.load(tmp_path / "again.pt", weights_only=True)["model_state_dict"]
    assert again.keys() == theirs.state_dict().keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in theirs.state_dict().items())


@pytest.mark.parametrize("theirs", [True], ids=["bias"], indirect=True)
def test_biases_of_a_convolution_are_not_dropped_by_a_conversion(path, tmp_path):
    with pytest.raises(CheckpointError, match=r"2 of 2 channels of the convolution have a bias other than 0 "):
        convert_checkpoint(path, tmp_path / "made.pt", "unbiased", **SIZES)


def test_a_worker_builds_a_model_of_a_dialect_that_only_the_client_knows(path, monkeypatch):
    checkpoint = load_conve(path, **SIZES, dtype=torch.float64)
    file = CheckpointFile.of(checkpoint, {"fc.bias"}, Adam())
    monkeypatch.setattr("tracin_dask.models.conve.dialects.DIALECTS", {})
    for contents in (file.load(), CheckpointFile.of(checkpoint).load()):
        assert torch.equal(scores(contents.model), scores(checkpoint.model))
    assert set(file.load().state) == {"fc.bias"}


def test_the_name_of_a_dialect_is_taken_once():
    register_dialect(BIASED)
    with pytest.raises(ConfigError, match="there is another dialect 'pykeen' of ConvE checkpoints"):
        register_dialect(Dialect(name="pykeen", stacking="height", tensors=BIASED.tensors))
    assert sys.modules["tracin_dask.models.conve.dialects"].DIALECTS["pykeen"] == PYKEEN
