"""Weights with a description of their model, which the caller gives or the file states."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.files import read_contents
from tracin_dask.models.checkpoints.model_format import LoadOptions, Recognised, dump_tensors, restore_tensors
from tracin_dask.models.checkpoints.state_dict import common_prefix, state_of
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.conve.load import is_conve, recognise_conve
from tracin_dask.models.description import ModelDescription, parse_description
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.models.whole_model import conve_config, names_of_optimiser
from tracin_dask.places.place import Place
from tracin_dask.types import ALTERNATING


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedFormat:
    """A state dict of the model that is described."""

    description: ModelDescription
    is_pickle: bool = False

    @property
    def name(self) -> str:
        """The class and its settings."""
        return self.description.name

    def read(self, path: Place, *, dtype: torch.dtype) -> RowwiseModel:
        """Build the model, which the client has checked, from a file of weights."""
        return self.description.rebuild(
            state_of(read_contents(path, trust_pickle=self.is_pickle).contents), dtype=dtype
        )

    def dump(self, model: TrainedModel) -> bytes:
        """Give the state dict."""
        return dump_tensors(model.module.state_dict())

    def restore(self, dumped: bytes, *, dtype: torch.dtype) -> RowwiseModel:
        """Build the model, which the client has checked, from a state dict."""
        return self.description.rebuild(restore_tensors(dumped), dtype=dtype)

    def names_in_file(self, model: TrainedModel, state: Mapping[str, Tensor], number: int) -> Mapping[str, str]:
        """Give the parameters' own names: an optimiser has all of them, or those that are trained."""
        names = names_of_optimiser(model, number)
        prefix = common_prefix(state.keys(), names.keys())
        return {name: prefix + name for name in names}


def recognise_described(contents: Mapping[object, object], options: LoadOptions) -> Recognised | None:
    """Build the model that the caller describes, or else the file; None if neither does.

    Raises
    ------
    CheckpointError
        If the weights are not those of the description.
    ConfigError
        If there is no such model, or the size of an image is given.
    """
    description = options.description or _stated(contents)
    if description is None:
        return None
    options.refuse_image_size()
    state = state_of(contents)
    if options.description is None:
        description.refuse_absurd(state)
    model = _built(description, state, options.dtype)
    config = conve_config(model.module)
    if config is not None:
        sizes = LoadOptions(
            dtype=options.dtype,
            embedding_height=config.embedding_height,
            embedding_width=config.embedding_width,
            is_pickle=options.is_pickle,
        )
        return recognise_conve(contents, sizes)
    return Recognised(
        model=model,
        format=DescribedFormat(description=description, is_pickle=options.is_pickle),
        inverse_order=ALTERNATING if description.is_of_pykeen else None,
    )


def _stated(contents: Mapping[object, object]) -> ModelDescription | None:
    """Give the description that a file states, unless it would make this process import a module.

    Raises
    ------
    CheckpointError
        If the class is none of PyKEEN's.
    """
    if "model_description" not in contents:
        return None
    description = parse_description(contents["model_description"])
    if not description.is_of_pykeen:
        raise CheckpointError(
            f"the file asks to import {description.model}; files may not do that: give the description yourself"
        )
    return description


def _built(description: ModelDescription, state: Mapping[str, Tensor], dtype: torch.dtype) -> RowwiseModel:
    """Build a model, or say that the weights are a ConvE's where they are not those of the description."""
    try:
        return description.build(state, dtype=dtype)
    except CheckpointError as error:
        if not is_conve(state):
            raise
        raise CheckpointError(f"this is a ConvE checkpoint; leave --model-description out ({error})") from error
