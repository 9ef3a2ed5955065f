"""Any trained model from its file: a ConvE, a model that a description is given of, or a whole pickled model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tracin_dask.errors import CheckpointError, ConfigError, NoConvEError
from tracin_dask.models.checkpoints import checkpoint as conve
from tracin_dask.models.checkpoints.checkpoint import AnyCheckpoint, Checkpoint, RowwiseCheckpoint, split_contents
from tracin_dask.models.checkpoints.facts import check_values, stated_facts
from tracin_dask.models.checkpoints.files import read_pickled_model, read_torch_file
from tracin_dask.models.conve.dialects import PYKEEN, is_conve, rename_tensors
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.description import ModelDescription, as_description, own_rowwise, parse_description
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.places.files import sha256_of
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of


def load_checkpoint(
    path: AnyPath,
    *,
    description: ModelDescription | Mapping[str, Any] | AnyPath | None = None,
    trust_pickle: bool = False,
    embedding_height: int | None = None,
    embedding_width: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> AnyCheckpoint:
    """Load a trained model in eval mode.

    A file of weights runs no code. Without a description it is a ConvE of any known dialect, or tells its model.

    Parameters
    ----------
    path
        A file {model_state_dict, ...}, {state_dict, ...} or a bare state dict; or, with `trust_pickle`, a whole model.
    description
        What the weights are those of, where it is no ConvE; or the JSON file that says it, or its contents.
    trust_pickle
        Unpickle a whole model, as PyKEEN's `trained_model.pkl`: that can run any code that the file holds.
    embedding_height, embedding_width
        The size of one embedding's image of a ConvE, where it does not follow from the file.
    dtype
        The type of the model's weights, whatever the file's is.

    Raises
    ------
    CheckpointError
        If the file cannot be read safely, is no such model, has NaN or infinite weights, or contradicts itself.
    ConfigError
        If the description is of no known model, or options exclude each other.
    """
    place = place_of(path)
    sizes = {"embedding_height": embedding_height, "embedding_width": embedding_width}
    try:
        if trust_pickle and description is not None:
            raise ConfigError("a whole pickled model needs no description; leave one of the two out")
        told = None if description is None else as_description(description)
        found = _load_pickle(place, dtype) if trust_pickle else _load_described(place, told, dtype)
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from error
    if found is None:
        try:
            return conve.load_checkpoint(place, **sizes, dtype=dtype)
        except NoConvEError as error:
            raise NoConvEError(f"{error}; --model-description tells what another model is") from error
    if sizes != {"embedding_height": None, "embedding_width": None}:
        raise ConfigError(f"the image size is that of ConvE embeddings, and {place} tells its model; leave it out")
    return found


def _load_described(path: Place, description: ModelDescription | None, dtype: torch.dtype) -> AnyCheckpoint | None:
    """Load weights with their description; None where neither the caller nor the file gives one."""
    contents = read_torch_file(path, lazily=True)
    if description is None:
        if "model_description" not in contents:
            return None
        description = _of_pykeen(parse_description(contents["model_description"]))
    state, _ = split_contents(contents)
    model = _built(description, state, dtype)
    config = _conve_config(model.model)
    if config is not None:
        sizes = {"embedding_height": config.embedding_height, "embedding_width": config.embedding_width}
        return conve.load_checkpoint(path, **sizes, dtype=dtype)
    return RowwiseCheckpoint(
        model=model, description=description, path=path, sha256=sha256_of(path), **stated_facts(contents)
    )


def _built(description: ModelDescription, state: Mapping[str, Tensor], dtype: torch.dtype) -> RowwiseModel:
    """Build a model, or say that the weights are a ConvE's where they are not those of the description."""
    try:
        return description.build(state, dtype=dtype)
    except CheckpointError as error:
        if not is_conve(state):
            raise
        raise CheckpointError(f"this is a ConvE checkpoint; leave --model-description out ({error})") from error


def _load_pickle(path: Place, dtype: torch.dtype) -> AnyCheckpoint:
    """Load a whole model, which its file's author decides about."""
    found, sha256 = read_pickled_model(path), sha256_of(path)
    for name, tensor in found.state_dict().items():
        check_values(name, tensor)
    config = _conve_config(found.to(dtype))
    if config is None:
        return RowwiseCheckpoint(model=face_of(found), description=None, path=path, sha256=sha256)
    tensors = rename_tensors(found.state_dict(), PYKEEN)
    return Checkpoint(
        model=conve.build_model(config, tensors, dtype=dtype),
        config=config,
        path=path,
        sha256=sha256,
        dialect=PYKEEN.name,
        is_pickle=True,
    )


def face_of(model: nn.Module) -> RowwiseModel:
    """Give a model its face, whether it is PyKEEN's or of another kind.

    Raises
    ------
    ConfigError
        If it is of no kind that can be explained.
    """
    name = f"{type(model).__module__}:{type(model).__qualname__}"
    if not hasattr(model, "score_hrt"):
        return own_rowwise(model, name)
    from tracin_dask.models.pykeen import any_model as pykeen_any  # noqa: PLC0415 - PyKEEN is optional, and takes seconds to import

    of_pykeen = type(model).__module__.startswith("pykeen.")
    return pykeen_any.rowwise(model, type(model).__name__ if of_pykeen else name)


def _conve_config(model: nn.Module) -> ConvEConfig | None:
    """Give the sizes of PyKEEN's ConvE, which has a faster way; None of any other model."""
    if not hasattr(model, "score_hrt"):
        return None
    from tracin_dask.models.pykeen import any_model as pykeen_any  # noqa: PLC0415 - as above

    return pykeen_any.conve_config(model)


def _of_pykeen(description: ModelDescription) -> ModelDescription:
    """Refuse to import what a file of weights names."""
    if not description.is_of_pykeen:
        raise CheckpointError(
            f"the file asks to import {description.model}, which only a description of your own may do: give it"
        )
    return description
