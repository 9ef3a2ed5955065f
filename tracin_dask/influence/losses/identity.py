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


def loss_identity(loss: AnyLoss) -> list[str]:
    """Give the name, what the loss reads, and its settings and values on a fixed grid of scores.

    So losses of the same name differ. The grid cannot show every difference, so the settings that a loss states
    are included.
    """
    return [loss.name, reads(loss), *_identity(loss)]


def _identity(loss: AnyLoss) -> list[str]:
    settings = _settings(loss)
    if reads(loss) == CORRUPTED_TRIPLES:
        return [settings]
    grid = torch.linspace(-20, 20, 57 * _NUM_ENTITIES, dtype=torch.float64)
    if reads(loss) == ALL_SCORES:
        tails = torch.arange(57) % _NUM_ENTITIES
        return [settings, _digest(cast(AllScoresLoss, loss).value(grid.view(57, _NUM_ENTITIES), tails))]
    return [settings, _digest(cast(Loss, loss).value(grid))]


def _settings(loss: AnyLoss) -> str:
    """Take the fields of a dataclass where all of them declare what they change; else what is stated."""
    return str(identity(loss)) if declares_all(loss) else repr(sorted(loss_settings(loss).items()))


def _digest(values: Tensor) -> str:
    return hashlib.sha256(values.detach().numpy().tobytes()).hexdigest()[:16]
