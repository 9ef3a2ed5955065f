"""What tells one loss from another, for resuming a run and for its result."""

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from tracin_dask.identity import declares_all, identity
from tracin_dask.influence.losses.base import ALL_SCORES, CORRUPTED_TRIPLES, AllScoresLoss, AnyLoss, Loss, reads

_NUM_ENTITIES = 7


def loss_settings(loss: AnyLoss) -> Mapping[str, Any]:
    """Give the settings of a loss that states any."""
    settings: Mapping[str, Any] = getattr(loss, "settings", {})
    return settings


def loss_identity(loss: AnyLoss) -> str:
    """Give the name and settings, what the loss reads, and a digest of its values on a fixed grid of scores.

    So losses of the same name differ. The grid cannot show every difference, so the settings that a loss states
    are included.
    """
    return f"{_with_settings(loss)}, {reads(loss)}{_values(loss)}"


def _with_settings(loss: AnyLoss) -> str:
    """Take the fields of a dataclass where all of them declare what they change; else what is stated."""
    if declares_all(loss):
        return str(identity(loss))
    settings = ", ".join(f"{name}={value!r}" for name, value in sorted(loss_settings(loss).items()))
    return f"{loss.name}({settings})" if settings else loss.name


def _values(loss: AnyLoss) -> str:
    if reads(loss) == CORRUPTED_TRIPLES:
        return ""
    grid = torch.linspace(-20, 20, 57 * _NUM_ENTITIES, dtype=torch.float64)
    if reads(loss) == ALL_SCORES:
        tails = torch.arange(57) % _NUM_ENTITIES
        return _digest(cast(AllScoresLoss, loss).value(grid.view(57, _NUM_ENTITIES), tails))
    return _digest(cast(Loss, loss).value(grid))


def _digest(values: Tensor) -> str:
    return f", values {hashlib.sha256(values.detach().numpy().tobytes()).hexdigest()[:16]}"
