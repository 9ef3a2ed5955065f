"""The protocol of a format of checkpoint files: how a model is made of a file, or of bytes sent in its place."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.description import ModelDescription
from tracin_dask.places.place import Place
from tracin_dask.types import InverseOrder


@runtime_checkable
class ModelFormat(Protocol):
    """How one kind of file holds a model: a small value that workers get, so that they make the same model."""

    @property
    def name(self) -> str:
        """What the format is called."""
        ...

    @property
    def is_pickle(self) -> bool:
        """Whether the file is a whole pickled model, which is read only where the user trusts it."""
        ...

    def read(self, path: Place, *, dtype: torch.dtype) -> TrainedModel:
        """Make the model of a file.

        Raises
        ------
        CheckpointError
            If the file cannot be read, or is of another model.
        """
        ...

    def dump(self, model: TrainedModel) -> bytes:
        """Give the model as bytes, for workers that do not see the file."""
        ...

    def restore(self, dumped: bytes, *, dtype: torch.dtype) -> TrainedModel:
        """Make the model from the data that `dump` gave."""
        ...

    def names_in_file(self, model: TrainedModel, state: Mapping[str, Tensor], number: int) -> Mapping[str, str]:
        """Give each parameter's name in the file's `state` dict, in the order of an optimiser of `number` of them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What the user states of a file, and the wanted type of the weights."""

    dtype: torch.dtype
    description: ModelDescription | None = None
    """The model's class and settings, where it is not a ConvE."""
    embedding_height: int | None = None
    embedding_width: int | None = None
    """The image of one embedding of a ConvE."""
    is_pickle: bool = False
    """Whether the contents were unpickled, which only the client may do: the format of the model says so, too."""

    def refuse_image_size(self) -> None:
        """Refuse the size of an image where the model is known to be not a ConvE, or to state it.

        Raises
        ------
        ConfigError
            If one is given.
        """
        if (self.embedding_height, self.embedding_width) != (None, None):
            raise ConfigError(
                "embedding_height and embedding_width are for ConvE checkpoints that do not state them; this file "
                "states its model, or a description does: leave both out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A model, and the format of the file that it came from."""

    model: TrainedModel
    format: ModelFormat
    inverse_order: InverseOrder | None = None
    """Where models of this kind have inverse relations, if their training adds them."""
    notes: tuple[str, ...] = ()
    """What the file was recognised as, where that is not obvious."""


Recognise: TypeAlias = Callable[[Mapping[object, object], LoadOptions], Recognised | None]
"""Makes the model from the contents of a torch file; None if the file has another format."""


def dump_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Write tensors as the bytes of a torch file."""
    buffer = io.BytesIO()
    torch.save(dict(tensors), buffer)
    return buffer.getvalue()


def restore_tensors(dumped: bytes) -> dict[str, Tensor]:
    """Read what `dump_tensors` wrote."""
    tensors: dict[str, Tensor] = torch.load(io.BytesIO(dumped), weights_only=True)
    return tensors
