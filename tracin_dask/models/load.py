"""Any trained model from its file: a ConvE, a model that is described, or a whole pickled model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from tracin_dask.errors import CheckpointError, ConfigError, NoConvEError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint, checkpoint_of
from tracin_dask.models.checkpoints.facts import optional_mapping
from tracin_dask.models.checkpoints.files import read_contents
from tracin_dask.models.checkpoints.model_format import LoadOptions, Recognise, Recognised
from tracin_dask.models.checkpoints.state_dict import module_in
from tracin_dask.models.conve.load import recognise_conve
from tracin_dask.models.described import recognise_described
from tracin_dask.models.description import ModelDescription, as_description
from tracin_dask.models.libkge.load import recognise_libkge
from tracin_dask.models.whole_model import adapt_whole_model
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.turn import usual_turn

FORMATS: tuple[Recognise, ...] = (recognise_libkge, recognise_described, recognise_conve)
"""The formats of files of weights, in the order in which they are tried; the last one says why a file is of none."""


def load_checkpoint(
    path: AnyPath,
    *,
    description: ModelDescription | Mapping[str, Any] | AnyPath | None = None,
    trust_pickle: bool = False,
    embedding_height: int | None = None,
    embedding_width: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Checkpoint:
    """Load a trained model in eval mode.

    A file of weights runs no code. Without a description it is a ConvE of any known dialect, or states its model.

    Parameters
    ----------
    path
        A torch or safetensors file {model_state_dict, ...}, {state_dict, ...} or a bare state dict; or, with
        `trust_pickle`, a whole model.
    description
        Class and settings of a model that is not a ConvE; or the JSON file that states them, or its contents.
    trust_pickle
        Unpickle the file if it cannot be read without, as PyKEEN's `trained_model.pkl`: that can run any code that
        it holds.
    embedding_height, embedding_width
        The size of one embedding's image of a ConvE, where it does not follow from the file.
    dtype
        The type of the model's weights, whatever the file's is.

    Raises
    ------
    CheckpointError
        If the file cannot be read safely, is of no such model, has NaN or infinite weights, or contradicts itself.
    ConfigError
        If the description is of no known model, or options exclude each other.
    """
    place = place_of(path)
    options = LoadOptions(
        dtype=dtype,
        description=None if description is None else as_description(description),
        embedding_height=embedding_height,
        embedding_width=embedding_width,
    )
    try:
        with usual_turn():
            return _loaded(place, options, trust_pickle=trust_pickle)
    except NoConvEError as error:
        raise NoConvEError(f"{place}: {error}; for another model, give --model-description") from error
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from error


def _loaded(place: Place, options: LoadOptions, *, trust_pickle: bool) -> Checkpoint:
    file = read_contents(place, trust_pickle=trust_pickle)
    module = module_in(file.contents)
    if module is None:
        options = replace(options, is_pickle=file.is_unpickled)
        return checkpoint_of(place, file, _recognised(optional_mapping(file.contents), options))
    options.refuse_image_size()
    if options.description is not None:
        raise ConfigError(f"{place} holds a whole pickled model, which needs no description; leave the description out")
    return checkpoint_of(place, file, adapt_whole_model(module, dtype=options.dtype))


def _recognised(contents: Mapping[object, object], options: LoadOptions) -> Recognised:
    """Ask every format for the model."""
    for recognise in FORMATS:
        found = recognise(contents, options)
        if found is not None:
            return found
    raise CheckpointError("its contents have no known format")
