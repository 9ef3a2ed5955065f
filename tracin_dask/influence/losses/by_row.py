"""A loss of its own for each row of a batch: triples under several losses are scored together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.losses.base import Loss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossByRow:
    """Some losses of a triple's own score, and which of them each row of a batch has."""

    name: ClassVar[str] = "by row"
    losses: Sequence[Loss]
    which: Int[ndarray, " batch"]

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each row's loss from its score, which no other loss is given."""
        order = np.argsort(self.which, kind="stable")
        grouped = torch.split(
            scores.index_select(0, send(order, scores.device)),
            np.bincount(self.which, minlength=len(self.losses)).tolist(),
        )
        values = torch.cat([loss.value(some) for loss, some in zip(self.losses, grouped, strict=True)])
        return values.index_select(0, send(np.argsort(order), scores.device))


def loss_of_rows(loss: Loss, rows: Int[ndarray, " row"]) -> Loss:
    """Give the loss of some rows of a batch: the same one, unless each row has its own."""
    if not isinstance(loss, LossByRow):  # a loss of anyone's is the same for all rows
        return loss
    return LossByRow(losses=loss.losses, which=loss.which[rows])
