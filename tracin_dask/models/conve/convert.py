"""Exact conversion of ConvE checkpoints from one dialect to another: equal scores, from transposed images if need be.

`train_pytorch` puts the images of head and relation side by side, PyKEEN one above the other. A ConvE of H×W images
side by side scores as one of W×H images one above the other if all that lies in an image or a feature map is
transposed: the entries of both embeddings, the rows of fc and bn2 are permuted by the transposition of the image, the
columns of fc by that of the feature map, and the kernels are transposed. Numbers change places, never values.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from tracin_dask import __version__
from tracin_dask.errors import CheckpointError, NoConvEError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.facts import UNUSABLE
from tracin_dask.models.checkpoints.files import read_torch_file, write_torch_file
from tracin_dask.models.checkpoints.state_dict import state_of, unwrapped
from tracin_dask.models.conve.dialects import Dialect, file_state, find_dialect, rename_tensors
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.places.place import AnyPath

_OF_THE_IMAGE = {
    "entity_embeddings.weight": 1,
    "relation_embeddings.weight": 1,
    "fc.weight": 0,
    "fc.bias": 0,
    "bn2.weight": 0,
    "bn2.bias": 0,
    "bn2.running_mean": 0,
    "bn2.running_var": 0,
}
"""The axis of each tensor that runs along an embedding's image."""


def convert_checkpoint(
    path: AnyPath, output: AnyPath, to: str, *, embedding_height: int | None = None, embedding_width: int | None = None
) -> Checkpoint[ConvE]:
    """Write a checkpoint in the dialect `to`, with the types that its weights have; give the one that was read.

    Sizes, learning rate, epoch, metrics and the hash of the id maps are kept; the optimiser's state is left out.

    Parameters
    ----------
    embedding_height, embedding_width
        The size of one embedding's image in `path`, where it does not follow from the file.

    Raises
    ------
    CheckpointError
        If it is not a readable ConvE, is of this dialect already, or no model of this dialect scores alike.
    """
    dialect = find_dialect(to)
    try:
        checkpoint = load_conve(path, embedding_height=embedding_height, embedding_width=embedding_width)
    except NoConvEError as error:
        raise NoConvEError(f"{error}; only ConvE checkpoints can be converted") from error
    if checkpoint.format.name == to:
        raise CheckpointError(f"{path} has the dialect {to} already; there is nothing to convert")
    contents, config = read_torch_file(path, lazily=True), checkpoint.model.config
    tensors = _read_tensors(contents, find_dialect(checkpoint.format.name))
    made = counterpart(config, dialect)
    if dialect.embedding_height not in (None, made.embedding_height):
        raise CheckpointError(
            f"{path}: its images would be {made.embedding_height} high in the dialect {to}, whose program makes images "
            f"{dialect.embedding_height} high: no model of it gives these scores"
        )
    try:
        converted = _convert_tensors(tensors, config, made, to)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    about = _about(checkpoint) | {name: contents[name] for name in ("metrics",) if name in contents}
    state, sizes = file_state(converted, dialect), made.sizes()
    write_torch_file(output, {"model_state_dict": state, "model_config": sizes, **about})
    return checkpoint


def counterpart(config: ConvEConfig, dialect: Dialect) -> ConvEConfig:
    """Give the sizes of the same model in another dialect: transposed where that puts images on the other axis."""
    config = replace(config, has_entity_bias=dialect.has_entity_bias, has_convolution_bias=dialect.has_convolution_bias)
    if config.stacking == dialect.stacking:
        return config
    return replace(
        config,
        embedding_height=config.embedding_width,
        embedding_width=config.embedding_height,
        kernel_height=config.kernel_width,
        kernel_width=config.kernel_height,
        stacking=dialect.stacking,
    )


def _read_tensors(contents: Mapping[object, object], dialect: Dialect) -> dict[str, Tensor]:
    """Give a file's tensors by our names as they are stored, batch norm's counters included."""
    state = unwrapped(state_of(contents))
    counters = {ours: state[theirs] for theirs, ours in dialect.counters.items() if theirs in state}
    return rename_tensors(state, dialect) | counters


def _convert_tensors(
    tensors: dict[str, Tensor], config: ConvEConfig, wanted: ConvEConfig, dialect_name: str
) -> dict[str, Tensor]:
    like = tensors["fc.weight"]
    for name, owner, number, is_wanted in (
        ("entity_bias", "entities", config.num_entities, wanted.has_entity_bias),
        ("conv1.bias", "channels of the convolution", config.output_channels, wanted.has_convolution_bias),
    ):
        bias = tensors.pop(name, like.new_zeros(number))
        if is_wanted:
            tensors[name] = bias
        else:
            _refuse_biases(bias, owner, dialect_name)
    is_transposed = config.stacking != wanted.stacking
    # clones: a tensor may be a view of the input file, or of a larger tensor that would be saved with it
    return {
        name: (_transpose(name, tensor, config) if is_transposed else tensor).clone()
        for name, tensor in tensors.items()
    }


def _refuse_biases(bias: Tensor, owner: str, dialect_name: str) -> None:
    biased = int((bias != 0).sum())
    if biased:
        raise CheckpointError(
            f"{biased:,} of {len(bias):,} {owner} have a bias other than 0 (the largest is "
            f"{float(bias.abs().max()):.3g}), and the dialect {dialect_name} has no such biases: no model of it gives "
            "these scores. `tracin-dask run` explains this model as it is"
        )


def _transpose(name: str, tensor: Tensor, config: ConvEConfig) -> Tensor:
    if name == "conv1.weight":
        return tensor.transpose(2, 3).contiguous()
    if name == "fc.weight":
        tensor = tensor.index_select(1, _feature_order(config))
    axis = _OF_THE_IMAGE.get(name)
    return tensor if axis is None else tensor.index_select(axis, _image_order(config))


def _image_order(config: ConvEConfig) -> Int[Tensor, " dim"]:
    """Tell which entry of an embedding comes to each place of the transposed image."""
    return torch.arange(config.embedding_dim).view(config.embedding_height, config.embedding_width).T.flatten()


def _feature_order(config: ConvEConfig) -> Int[Tensor, " feature"]:
    """Tell which feature comes to each place of the transposed feature map."""
    shape = (config.output_channels, config.map_height, config.map_width)
    return torch.arange(config.num_features).view(shape).transpose(1, 2).flatten()


def _about(checkpoint: Checkpoint[ConvE]) -> dict[str, object]:
    stated = {
        "learning_rate": checkpoint.learning_rate,
        UNUSABLE: checkpoint.unusable_learning_rate,
        "epoch": checkpoint.epoch,
        "id_maps_sha256": checkpoint.id_maps_sha256,
    }
    origin = {
        "file": checkpoint.path.name,
        "sha256": checkpoint.sha256,
        "dialect": checkpoint.format.name,
        "tracin_dask_version": __version__,
    }
    return {name: value for name, value in stated.items() if value is not None} | {"converted_from": origin}
