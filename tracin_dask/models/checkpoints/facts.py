"""What the file of a checkpoint says about its training, and what no trained weights are."""

import math
from collections.abc import Mapping
from typing import TypedDict, TypeVar

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError

Stated = TypeVar("Stated", int, str, float)


class Facts(TypedDict):
    """What is stated beside the weights; None where it is not."""

    learning_rate: float | None
    epoch: int | None
    id_maps_sha256: str | None
    label_smoothing: float | None


def stated_facts(contents: Mapping[object, object]) -> Facts:
    """Find what a file states.

    Raises
    ------
    CheckpointError
        If a value is of another type, or a learning rate is none.
    """
    return Facts(
        learning_rate=_learning_rate(contents),
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
        raise CheckpointError(
            f"{name} has {negative:,} negative values of {tensor.numel():,}; variances are not below 0"
        )


def _learning_rate(contents: Mapping[object, object]) -> float | None:
    rate = contents.get("learning_rate")
    if rate is None:
        rate = _optimizer_learning_rate(contents.get("optimizer_state_dict"))
    if rate is None:
        return None
    if not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0:
        raise CheckpointError(f"its learning rate is {rate!r}; expected a number above 0")
    return float(rate)


def _optimizer_learning_rate(optimizer: object) -> object:
    groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
    return groups[0].get("lr") if groups else None


def _label_smoothing(contents: Mapping[object, object]) -> float | None:
    training = contents.get("training")
    return _optional(training, "label_smoothing", float) if isinstance(training, Mapping) else None


def _optional(contents: Mapping[object, object], name: str, kind: type[Stated]) -> Stated | None:
    value = contents.get(name)
    if value is not None and not isinstance(value, kind):
        raise CheckpointError(f"its {name} is {value!r}; expected a {kind.__name__}")
    return value
