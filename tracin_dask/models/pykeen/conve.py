"""PyKEEN's own ConvE: its sizes in our terms, and one built from a checkpoint. Needs the extra `pykeen`."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.conve.dialects import PYKEEN, rename_tensors
from tracin_dask.models.conve.dimensions import ImageSize, infer_config
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.pykeen import imports as pykeen


def read_config(model: nn.Module) -> ConvEConfig:
    """Give the sizes of a PyKEEN model.

    Raises
    ------
    ConfigError
        If it is not a ConvE, or one whose layers the checkpoints of this package do not have.
    """
    if not isinstance(model, pykeen.ConvE) or not isinstance(model.interaction, pykeen.ConvEInteraction):
        raise ConfigError(f"the model is PyKEEN's {type(model).__name__}; only its ConvE can be explained")
    shape = model.interaction.shape_info
    if shape.input_channels != 1:
        raise ConfigError(
            f"the ConvE has {shape.input_channels} input channels; give it input_channels=1, or an embedding_height "
            "and an embedding_width whose product is embedding_dim"
        )
    image = ImageSize(height=shape.image_height, width=shape.image_width)
    try:
        return infer_config(rename_tensors(model.state_dict(), PYKEEN), PYKEEN, stated=[], wanted=image)
    except CheckpointError as error:
        raise ConfigError(f"PyKEEN's ConvE with other layers than its default ones: {error}") from error


def build(config: ConvEConfig, state: Mapping[str, Tensor], *, dtype: torch.dtype) -> pykeen.ConvE:
    """Build PyKEEN's ConvE with these weights, in eval mode; the global random generator is left as it is."""
    graph = pykeen.CoreTriplesFactory(
        mapped_triples=torch.empty((0, 3), dtype=torch.int64),
        num_entities=config.num_entities,
        num_relations=config.num_relations,
    )
    with without_training_advice(), torch.random.fork_rng(devices=[]):
        model = pykeen.ConvE(
            graph,
            random_seed=pykeen.NoRandomSeedNecessary,
            embedding_dim=config.embedding_dim,
            embedding_height=config.embedding_height,
            embedding_width=config.embedding_width,
            output_channels=config.output_channels,
            kernel_height=config.kernel_height,
            kernel_width=config.kernel_width,
        )
    model.to(dtype)
    wanted = PYKEEN.tensors | PYKEEN.counters
    model.load_state_dict({name: tensor for name, tensor in state.items() if name in wanted})
    return model.eval()


def score(model: pykeen.ConvE, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    """Score triples whose relations are rows of the model's table, as PyKEEN does."""
    scores: Tensor = model.score_hrt(triples)
    return scores.squeeze(1)


@contextmanager
def without_training_advice() -> Iterator[None]:
    """Silence PyKEEN's advice on training: nothing is trained here."""
    logger = logging.getLogger("pykeen")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
