"""Small ConvE models with weights that no symmetry hides, and the same models as files of both dialects."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tracin_dask.models.conve.model import ConvE, ConvEConfig

PYKEEN_NAMES = {
    "entity_embeddings.weight": "entity_representations.0._embeddings.weight",
    "entity_bias": "entity_representations.1._embeddings.weight",
    "relation_embeddings.weight": "relation_representations.0._embeddings.weight",
    "bn0.weight": "interaction.hr2d.0.weight",
    "bn0.bias": "interaction.hr2d.0.bias",
    "bn0.running_mean": "interaction.hr2d.0.running_mean",
    "bn0.running_var": "interaction.hr2d.0.running_var",
    "bn0.num_batches_tracked": "interaction.hr2d.0.num_batches_tracked",
    "conv1.weight": "interaction.hr2d.2.weight",
    "conv1.bias": "interaction.hr2d.2.bias",
    "bn1.weight": "interaction.hr2d.3.weight",
    "bn1.bias": "interaction.hr2d.3.bias",
    "bn1.running_mean": "interaction.hr2d.3.running_mean",
    "bn1.running_var": "interaction.hr2d.3.running_var",
    "bn1.num_batches_tracked": "interaction.hr2d.3.num_batches_tracked",
    "fc.weight": "interaction.hr1d.0.weight",
    "fc.bias": "interaction.hr1d.0.bias",
    "bn2.weight": "interaction.hr1d.2.weight",
    "bn2.bias": "interaction.hr1d.2.bias",
    "bn2.running_mean": "interaction.hr1d.2.running_mean",
    "bn2.running_var": "interaction.hr1d.2.running_var",
    "bn2.num_batches_tracked": "interaction.hr1d.2.num_batches_tracked",
}

TRAIN_PYTORCH = ConvEConfig(
    num_entities=7, num_relations=3, embedding_dim=15, embedding_height=3, embedding_width=5, output_channels=2
)
PYKEEN = replace(TRAIN_PYTORCH, stacking="height", has_entity_bias=True)


def random_model(config: ConvEConfig, dtype: torch.dtype = torch.float32) -> ConvE:
    """A model in eval mode whose every tensor, batch norm statistics included, is random."""
    generator = torch.Generator().manual_seed(1)
    model = ConvE(config).to(dtype)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=generator, dtype=dtype)
            tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values * 0.5)
    return model.eval()


def file_state(model: ConvE) -> dict[str, Tensor]:
    """The state dict that a program of the model's dialect would write."""
    state = model.state_dict()
    if model.config.stacking == "width":
        return dict(state)
    renamed = {PYKEEN_NAMES[name]: tensor for name, tensor in state.items()}
    bias = PYKEEN_NAMES["entity_bias"]
    return {**renamed, bias: renamed[bias][:, None], "entity_representations.0.regularizer.weight": torch.ones(1)}


@pytest.fixture(params=[TRAIN_PYTORCH, PYKEEN], ids=["train_pytorch", "pykeen"])
def config(request: pytest.FixtureRequest) -> ConvEConfig:
    return request.param


@pytest.fixture
def model(config: ConvEConfig) -> ConvE:
    return random_model(config)


@pytest.fixture
def make_model() -> Callable[..., ConvE]:
    return random_model


@pytest.fixture
def state(model: ConvE) -> dict[str, Tensor]:
    """The model's tensors under the names of its dialect's files."""
    return file_state(model)


@pytest.fixture
def make_state() -> Callable[[ConvE], dict[str, Tensor]]:
    return file_state
