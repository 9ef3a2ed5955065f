"""The settings of a PyKEEN model, read from the model itself, so that its checkpoints need no description."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tracin_dask.errors import ConfigError
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.pykeen.conve import read_config
from tracin_dask.models.rowwise import RowwiseModel

_NUM_COMPARED = 50
_TOLERANCE = 1e-4
"""The largest difference that can be rounding, as a part of the largest score (or of 1)."""


def _dimension(model: Any) -> dict[str, Any]:  # noqa: ANN401 - PyKEEN's models have no common type that says this
    return {"embedding_dim": model.entity_representations[0].shape[0]}


def _of_transe(model: Any) -> dict[str, Any]:  # noqa: ANN401 - PyKEEN's models have no common type that says this
    return _dimension(model) | {"scoring_fct_norm": model.interaction.p, "power_norm": model.interaction.power_norm}


def _of_tucker(model: Any) -> dict[str, Any]:  # noqa: ANN401 - PyKEEN's models have no common type that says this
    return _dimension(model) | {
        "relation_dim": model.relation_representations[0].shape[0],
        "apply_batch_normalization": model.interaction.head_batch_norm is not None,
    }


_SETTINGS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "ComplEx": _dimension,
    "DistMult": _dimension,
    "RotatE": _dimension,
    "TransE": _of_transe,
    "TuckER": _of_tucker,
}


def checkpoint_tells(model: nn.Module) -> dict[str, object]:
    """Give what a checkpoint states about its model: the sizes of a ConvE, or the description of another model.

    Raises
    ------
    ConfigError
        If it is of no kind whose settings are known, or has others that change its scores.
    """
    name = type(model).__name__
    if name == "ConvE":
        return {"model_config": read_config(model).sizes()}
    if name not in _SETTINGS:
        raise ConfigError(
            f"the model is PyKEEN's {name}; the callback can describe ConvE, {', '.join(_SETTINGS)}. For another "
            "model, save the state dict yourself, and give --model-description to `tracin-dask run`"
        )
    settings = _SETTINGS[name](model)
    state = {part: tensor.cpu() for part, tensor in model.state_dict().items()}
    rebuilt = ModelDescription(model=name, model_kwargs=settings).rebuild(state, dtype=next(model.parameters()).dtype)
    if not _is_equal(model, rebuilt):
        raise ConfigError(
            f"PyKEEN's {name} with {settings} has other scores or other trained tensors than this model, which the "
            "callback cannot describe; save its state dict yourself, and give --model-description to `tracin-dask run`"
        )
    return {"model_description": {"model": name, "model_kwargs": settings}}


def _is_equal(model: Any, rebuilt: RowwiseModel) -> bool:  # noqa: ANN401 - PyKEEN's models have no common type that says this
    """Compare trained tensors, and the scores of some triples in eval mode."""
    trained = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    if trained != set(rebuilt.config.parameter_names):
        return False
    was_training, device = model.training, next(model.parameters()).device
    triples = rebuilt.some_triples(_NUM_COMPARED)
    with torch.no_grad():
        expected, found = model.eval().score_hrt(triples.to(device)).flatten().cpu(), rebuilt.score(triples)
    model.train(was_training)
    return torch.allclose(found, expected, rtol=0, atol=_TOLERANCE * float(1 + expected.abs().max()))
