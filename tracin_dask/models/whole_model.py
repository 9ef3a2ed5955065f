"""Whole pickled models: how they are loaded, adapted and sent to workers."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.facts import check_values
from tracin_dask.models.checkpoints.files import read_contents, unpickle_object
from tracin_dask.models.checkpoints.making import in_precision
from tracin_dask.models.checkpoints.model_format import Recognised
from tracin_dask.models.checkpoints.state_dict import module_in, state_of
from tracin_dask.models.checks.check import checked
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.conve.dialects import PYKEEN
from tracin_dask.models.conve.load import ConvEFormat
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.description import own_face
from tracin_dask.models.rowwise import Face, RowwiseModel
from tracin_dask.places.place import Place
from tracin_dask.types import ALTERNATING


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeModelFormat:
    """A pickled model, whose file can run code when it is loaded."""

    name: ClassVar[str] = "whole model"
    is_pickle: ClassVar[bool] = True

    def read(self, path: Place, *, dtype: torch.dtype) -> RowwiseModel:
        """Unpickle the model, which the client has checked; this runs whatever code the file holds."""
        found = module_in(read_contents(path, trust_pickle=True).contents)
        if found is None:
            raise CheckpointError("holds no whole model; start the run again")
        return RowwiseModel(*_with_face(_finite(found), dtype))

    def dump(self, model: TrainedModel) -> bytes:
        """Pickle the model again."""
        buffer = io.BytesIO()
        torch.save(model.module, buffer)
        return buffer.getvalue()

    def restore(self, dumped: bytes, *, dtype: torch.dtype) -> RowwiseModel:
        """Unpickle what the client sent, and has checked."""
        return RowwiseModel(*_with_face(unpickle_object(io.BytesIO(dumped)), dtype))

    def names_in_file(self, model: TrainedModel, state: Mapping[str, Tensor], number: int) -> Mapping[str, str]:
        """Give the parameters' own names."""
        del state
        return names_of_optimiser(model, number)


def adapt_whole_model(model: nn.Module, *, dtype: torch.dtype) -> Recognised:
    """Adapt a model that was unpickled; PyKEEN's ConvE becomes one of this package.

    Raises
    ------
    CheckpointError
        If it has values that no trained model has.
    ConfigError
        If it is of no kind that can be explained.
    """
    found = in_precision(_finite(model), dtype)
    config = conve_config(found)
    if config is None:
        order = ALTERNATING if _is_of_pykeen(found) else None
        return Recognised(model=face_of(found), format=WholeModelFormat(), inverse_order=order)
    model_format = ConvEFormat(dialect=PYKEEN, config=config, is_pickle=True)
    model = model_format.build(found.state_dict(), dtype=dtype)
    return Recognised(model=model, format=model_format, inverse_order=PYKEEN.inverse_order)


def face_of(model: nn.Module) -> RowwiseModel:
    """Adapt a model of PyKEEN, or of the user's own, and check it.

    Raises
    ------
    CheckpointError
        If its scores or gradients are not those of the rows that triples read.
    ConfigError
        If it is of no kind that can be explained.
    """
    return checked(model, _face(model))


def _with_face(model: nn.Module, dtype: torch.dtype) -> tuple[nn.Module, Face]:
    return in_precision(model, dtype), _face(model)


def _face(model: nn.Module) -> Face:
    name = f"{type(model).__module__}:{type(model).__qualname__}"
    if not _is_of_pykeen(model):
        return own_face(model, name)
    from tracin_dask.models.pykeen import any_model  # noqa: PLC0415 - PyKEEN is optional, and takes seconds to import

    of_pykeen = type(model).__module__.startswith("pykeen.")
    return any_model.face_of(model, type(model).__name__ if of_pykeen else name)


def conve_config(model: nn.Module) -> ConvEConfig | None:
    """Give the sizes of PyKEEN's ConvE, which has a faster engine; None of any other model."""
    if not _is_of_pykeen(model):
        return None
    from tracin_dask.models.pykeen import any_model  # noqa: PLC0415 - PyKEEN is optional, and takes seconds to import

    return any_model.conve_config(model)


def names_of_optimiser(model: TrainedModel, number: int) -> dict[str, str]:
    """Name the parameters, or those that require gradients where an optimiser has not as many as there are."""
    weights = dict(model.module.named_parameters())
    trained = [name for name, weight in weights.items() if weight.requires_grad]
    return {name: name for name in (weights if len(weights) == number else trained)}


def _is_of_pykeen(model: nn.Module) -> bool:
    """Tell whether a model is one of PyKEEN's, or a class of the user's own that extends one."""
    return hasattr(model, "score_hrt")


def _finite(model: nn.Module) -> nn.Module:
    for name, tensor in state_of(model).items():
        check_values(name, tensor)
    return model
