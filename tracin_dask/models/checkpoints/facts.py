"""The facts that a checkpoint's file states about its training, and the values that no trained tensor has."""

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents.optimizer import stated_optimizer

UNUSABLE = "unusable_learning_rate"
"""Under this name a converted file says why the learning rate of its origin is none."""
_SHOWN_NAMES = 3
"""Names of an optimiser's group in a message."""
_MOST_BITS = 64
_MOST_SHOWN = 80


class Facts(TypedDict):
    """What a file states in addition to the weights; None where it does not."""

    learning_rate: float | None
    unusable_learning_rate: str | None
    epoch: int | None
    id_maps_sha256: str | None
    label_smoothing: float | None


def stated_facts(contents: Mapping[object, object]) -> Facts:
    """Find what a file states.

    A learning rate that cannot be one of all tensors, as 0 at the end of a schedule, is refused where it is used.

    Raises
    ------
    CheckpointError
        If another value is of another type.
    """
    try:
        rate, problem = _learning_rate(contents), None
    except CheckpointError as error:
        rate, problem = None, str(error)
    return Facts(
        learning_rate=rate,
        unusable_learning_rate=problem,
        epoch=_epoch(contents),
        id_maps_sha256=_text(contents, "id_maps_sha256"),
        label_smoothing=_label_smoothing(contents),
    )


def check_values(name: str, tensor: Tensor) -> None:
    """Refuse values that no trained model has.

    Raises
    ------
    CheckpointError
        If one is NaN or infinite, or a variance is negative.
    """
    if not torch.isfinite(tensor.sum()):  # sooner than counting; sums of finite numbers may overflow
        bad = int(tensor.numel() - torch.isfinite(tensor).sum())
        if bad:
            raise CheckpointError(
                f"{name} has {bad:,} NaN or infinite values of {tensor.numel():,}; the training diverged, "
                "take an earlier checkpoint"
            )
    negative = int((tensor < 0).sum()) if name.endswith("running_var") else 0
    if negative:
        raise CheckpointError(f"{name} has {negative:,} negative values of {tensor.numel():,}; no variance is below 0")


def check_kind(name: str, found: Tensor, like: Tensor) -> None:
    """Refuse a tensor that another kind of numbers could only be converted to with a loss, or that has been rounded.

    Raises
    ------
    CheckpointError
        If it holds integers, truth values or complex numbers, and the model's tensor does not.
    """
    if (found.is_floating_point(), found.is_complex()) != (like.is_floating_point(), like.is_complex()):
        raise CheckpointError(
            f"{name} holds numbers of {found.dtype}, and the model's are {like.dtype}: the file was rounded or "
            "converted after the training; save the model as it was trained"
        )


def optional_mapping(value: object) -> Mapping[object, object]:
    """Give a dictionary as it is, and an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def as_number(value: object) -> int | float | None:
    """Give a number, or that of a tensor with one value; None of anything else."""
    match value:
        case Tensor() if value.numel() == 1 and not value.is_meta and not value.is_complex():
            return as_number(value.item())
        case np.generic():
            return as_number(value.item())
        case bool():
            return None
        case int() if value.bit_length() > _MOST_BITS:
            return None
        case int() | float():
            return value
    return None


def shown(value: object) -> str:
    """Show a value of a file in a message, whatever it is: a number can have a million digits."""
    match value:
        case int() if value.bit_length() > _MOST_BITS:
            return f"a number of {value.bit_length():,} bits"
        case Tensor() if as_number(value) is not None:
            return shown(as_number(value))
        case Tensor():
            return f"a tensor {tuple(value.shape)} of {value.dtype}"
        case str() | int() | float() | None:
            text = repr(value)
            return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    return f"a {type(value).__name__}"


def _learning_rate(contents: Mapping[object, object]) -> float | None:
    """Give the learning rate of all tensors; raises CheckpointError if there is none that can be used."""
    unusable = _text(contents, UNUSABLE)
    if unusable is not None:
        raise CheckpointError(unusable)
    stated = contents.get("learning_rate")
    try:
        groups = _groups_with_rates(contents)
    except CheckpointError:
        if stated is None:
            raise
        groups = {}
    _refuse_several_rates(groups)
    if stated is None:
        stated = next((group["lr"] for group in groups.values()), None)
    if stated is None:
        return None
    rate = as_number(stated)
    if rate is None or not 0 < rate < math.inf:
        raise CheckpointError(f"its learning rate is {shown(stated)}; expected a number above 0")
    return float(rate)


def _groups_with_rates(contents: Mapping[object, object]) -> dict[int, Mapping[str, Any]]:
    """Give the optimiser's groups of parameters that have a learning rate, by their places."""
    groups = (stated_optimizer(contents) or {}).get("param_groups", [])
    return {place: group for place, group in enumerate(groups) if "lr" in group and group.get("params", True)}


def _refuse_several_rates(groups: Mapping[int, Mapping[str, Any]]) -> None:
    """Refuse an optimiser whose groups have different learning rates."""
    if len({shown(group["lr"]) for group in groups.values()}) < 2:
        return
    listed = "; ".join(_of_group(place, group) for place, group in groups.items())
    raise CheckpointError(
        f"its optimiser has groups of parameters with different learning rates ({listed}), and an influence has one "
        "learning rate of all tensors"
    )


def _of_group(place: int, group: Mapping[str, Any]) -> str:
    names, params = group.get("param_names", []), group.get("params")
    listed = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
    count = f" of {len(params)} tensors" if params is not None else ""
    return f"group {place}{count}{f' ({listed})' if listed else ''}: {shown(group['lr'])}"


def _epoch(contents: Mapping[object, object]) -> int | None:
    """Give the epoch; a whole number that is written as 3.0 is one, too."""
    stated = contents.get("epoch")
    if stated is None:
        return None
    epoch = as_number(stated)
    if epoch is None or not math.isfinite(epoch) or epoch != int(epoch):
        raise CheckpointError(f"its epoch is {shown(stated)}; expected a whole number")
    return int(epoch)


def _label_smoothing(contents: Mapping[object, object]) -> float | None:
    stated = optional_mapping(contents.get("training")).get("label_smoothing")
    if stated is None:
        return None
    smoothing = as_number(stated)
    if smoothing is None:
        raise CheckpointError(f"its label_smoothing is {shown(stated)}; expected a number")
    return float(smoothing)


def _text(contents: Mapping[object, object], name: str) -> str | None:
    stated = contents.get(name)
    if stated is not None and not isinstance(stated, str):
        raise CheckpointError(f"its {name} is {shown(stated)}; expected a text")
    return stated
