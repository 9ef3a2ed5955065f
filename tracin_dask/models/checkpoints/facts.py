"""The facts that a checkpoint's file states about its training, and the values that no trained tensor has."""

import math
from collections.abc import Mapping
from typing import TypedDict, TypeVar

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError

Stated = TypeVar("Stated", int, str, float)
UNUSABLE = "unusable_learning_rate"
"""Under this name a converted file says why the learning rate of its origin is none."""
_SHOWN_NAMES = 3
"""Names of an optimiser's group in a message."""
_A: Mapping[type, str] = {int: "a whole number", str: "a text", float: "a number"}


class Facts(TypedDict):
    """What a file states in addition to the weights; None where it does not."""

    learning_rate: float | None
    unusable_learning_rate: str | None
    epoch: int | None
    id_maps_sha256: str | None
    label_smoothing: float | None


def stated_facts(contents: Mapping[object, object]) -> Facts:
    """Find what a file states.

    A learning rate that cannot be one of all tensors is refused where it is used.

    Raises
    ------
    CheckpointError
        If a value is of another type, or a learning rate is not above 0.
    """
    several = _several_rates(optional_mapping(contents.get("optimizer_state_dict")))
    several = several or _optional(contents, UNUSABLE, str)
    return Facts(
        learning_rate=None if several else _learning_rate(contents),
        unusable_learning_rate=several,
        epoch=_optional(contents, "epoch", int),
        id_maps_sha256=_optional(contents, "id_maps_sha256", str),
        label_smoothing=_label_smoothing(contents),
    )


def check_values(name: str, tensor: Tensor) -> None:
    """Refuse values that no trained model has.

    Raises
    ------
    CheckpointError
        If one is NaN or infinite, or a variance is negative.
    """
    bad = int(tensor.numel() - torch.isfinite(tensor).sum())
    if bad:
        raise CheckpointError(
            f"{name} has {bad:,} NaN or infinite values of {tensor.numel():,}; the training diverged, "
            "take an earlier checkpoint"
        )
    negative = int((tensor < 0).sum()) if name.endswith("running_var") else 0
    if negative:
        raise CheckpointError(f"{name} has {negative:,} negative values of {tensor.numel():,}; no variance is below 0")


def optional_mapping(value: object) -> Mapping[object, object]:
    """Give a dictionary as it is, and an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def _learning_rate(contents: Mapping[object, object]) -> float | None:
    rate = contents.get("learning_rate")
    if rate is None:
        rate = _optimizer_learning_rate(contents.get("optimizer_state_dict"))
    match rate:
        case None:
            return None
        case int() | float() if math.isfinite(rate) and rate > 0:
            return float(rate)
    raise CheckpointError(f"its learning rate is {rate!r}; expected a number above 0")


def _optimizer_learning_rate(optimizer: object) -> object:
    match optimizer:
        case {"param_groups": [{"lr": rate}, *_]}:
            return rate
    return None


def _several_rates(optimizer: Mapping[object, object]) -> str | None:
    """Say how the learning rates of an optimiser's groups differ; None if they do not."""
    stated = optimizer.get("param_groups")
    groups = [optional_mapping(group) for group in stated] if isinstance(stated, list) else []
    used = {number: group for number, group in enumerate(groups) if "lr" in group and group.get("params", True)}
    if len({str(group["lr"]) for group in used.values()}) < 2:
        return None
    listed = "; ".join(_of_group(number, group) for number, group in used.items())
    return (
        f"its optimiser has groups of parameters with different learning rates ({listed}), and an influence has one "
        "learning rate of all tensors"
    )


def _of_group(number: int, group: Mapping[object, object]) -> str:
    names, params = group.get("param_names"), group.get("params")
    shown = ", ".join(map(str, names[:_SHOWN_NAMES])) if isinstance(names, list) else ""
    if isinstance(names, list) and len(names) > _SHOWN_NAMES:
        shown += ", ..."
    count = f" of {len(params)} tensors" if isinstance(params, list) else ""
    return f"group {number}{count}{f' ({shown})' if shown else ''}: {group['lr']}"


def _label_smoothing(contents: Mapping[object, object]) -> float | None:
    return _optional(optional_mapping(contents.get("training")), "label_smoothing", float)


def _optional(contents: Mapping[object, object], name: str, kind: type[Stated]) -> Stated | None:
    value = contents.get(name)
    if value is not None and not isinstance(value, kind):
        raise CheckpointError(f"its {name} is {value!r}; expected {_A[kind]}")
    return value
