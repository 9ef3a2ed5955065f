"""Checkpoints of LibKGE: `checkpoint_best.pt` and the like, with the model that their configuration states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.files import read_contents
from tracin_dask.models.checkpoints.model_format import LoadOptions, Recognised, dump_tensors, restore_tensors
from tracin_dask.models.checkpoints.state_dict import state_of
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.libkge.model import ENTITIES, LibKGE, sizes_of
from tracin_dask.models.libkge.settings import refuse_contradiction, settings_of, stated_options
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.places.place import Place
from tracin_dask.types import APPENDED

_BASE = "_base_model."
_KIND = ModelDescription(model=LibKGE).class_name


@dataclass(frozen=True, slots=True, kw_only=True)
class LibKGEFormat:
    """A file of LibKGE's, whose model has these settings."""

    settings: Mapping[str, Any]
    is_pickle: bool = False

    @property
    def name(self) -> str:
        """The model and its settings."""
        return "LibKGE's " + ", ".join(f"{name} {value}" for name, value in self.settings.items())

    def read(self, path: Place, *, dtype: torch.dtype) -> RowwiseModel:
        """Build the model, which the client has checked, from a file."""
        state = own_state(state_of(read_contents(path, trust_pickle=self.is_pickle).contents))
        return self._described(state).rebuild(state, dtype=dtype)

    def build(self, state: Mapping[str, Tensor], *, dtype: torch.dtype) -> RowwiseModel:
        """Build the model from its tensors, without those of a model that holds it, and check it."""
        return self._described(state).build(state, dtype=dtype)

    def _described(self, state: Mapping[str, Tensor]) -> ModelDescription:
        try:
            sizes = sizes_of(state)
        except ValueError as error:
            raise CheckpointError(f"its tensors are not those of {self.name}: {error}") from error
        return ModelDescription(model=LibKGE, model_kwargs={**self.settings, **sizes})

    def dump(self, model: TrainedModel) -> bytes:
        """Give the state dict."""
        return dump_tensors(model.module.state_dict())

    def restore(self, dumped: bytes, *, dtype: torch.dtype) -> RowwiseModel:
        """Build the model, which the client has checked, from a state dict."""
        state = restore_tensors(dumped)
        return self._described(state).rebuild(state, dtype=dtype)

    def names_in_file(self, model: TrainedModel, state: Mapping[str, Tensor], number: int) -> Mapping[str, str]:
        """Give each parameter's first name in the file: an optimiser has them in the order of the file."""
        del number
        trained, found = dict(model.module.named_parameters()), dict[str, str]()
        for name in state:
            if own_name(name) in trained:
                found.setdefault(own_name(name), name)
        return found


def recognise_libkge(contents: Mapping[object, object], options: LoadOptions) -> Recognised | None:
    """Build a model of LibKGE's; None if the file has not its tensors, or the caller describes another class.

    Raises
    ------
    CheckpointError
        If the model does not follow from the file, or its tensors contradict it.
    """
    given = options.description
    if given is not None and given.class_name != _KIND:
        return None
    names = state_of(contents)
    if ENTITIES not in map(own_name, names) and given is None:
        return None
    options.refuse_image_size()
    state, is_reciprocal = own_state(names), any(name.startswith(_BASE) for name in names)
    model_format = LibKGEFormat(settings=_settings(contents, state, given), is_pickle=options.is_pickle)
    reciprocal = "; the reciprocal of relation r, of R relations, is in row R + r" if is_reciprocal else ""
    return Recognised(
        model=model_format.build(state, dtype=options.dtype),
        format=model_format,
        inverse_order=APPENDED if is_reciprocal else None,
        notes=(f"recognised as {model_format.name}{reciprocal}",),
    )


def _settings(
    contents: Mapping[object, object], state: Mapping[str, Tensor], given: ModelDescription | None
) -> Mapping[str, Any]:
    """Take what the caller states, or else what the file does; the file must not contradict the caller."""
    options = stated_options(contents)
    if given is None:
        return settings_of(options, state[ENTITIES].shape[-1])
    refuse_contradiction(options, given.model_kwargs)
    return given.model_kwargs


def own_name(name: str) -> str:
    """Give the name that a tensor has in the model itself: also in files of early versions."""
    return name.removeprefix(_BASE).replace("_embedder.embeddings.weight", "_embedder._embeddings.weight")


def own_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give every tensor once: a model with reciprocal relations names those of its base model twice.

    Raises
    ------
    CheckpointError
        If two tensors that are one in LibKGE differ.
    """
    found = dict[str, Tensor]()
    for name, tensor in state.items():
        first = found.setdefault(own_name(name), tensor)
        if first is not tensor and not torch.equal(first, tensor):
            raise CheckpointError(
                f"it holds two different tensors {own_name(name)}, which are one in LibKGE: the file was changed"
            )
    return found
