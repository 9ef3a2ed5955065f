"""A loss of its own for each row of a batch: triples under several losses are computed together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses.base import Loss, LossPart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossByRow:
    """Some losses of a triple's own score, and which of them each row of a batch has."""

    name: ClassVar[str] = "by row"
    losses: Sequence[Loss]
    which: Int[ndarray, " batch"]
    numbers: Sequence[int]
    """How many rows have each loss."""
    order: IndexArray
    """The rows, those of one loss together: [batch]."""
    place: IndexArray
    """Where each row stands in that order: [batch]."""
    sums: IndexArray | None = None
    """The rows that are added up for each training triple: [sum, part]; None where each row is one of its own."""

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each row's loss from its score, which no other loss is given."""
        grouped = torch.split(scores.index_select(0, self.order.tensor), list(self.numbers))
        values = torch.cat([loss.value(some) for loss, some in zip(self.losses, grouped, strict=True)])
        return values.index_select(0, self.place.tensor)

    def of_rows(self, rows: Int[ndarray, " row"], arrays: IndexArrays) -> "LossByRow":
        """Give the losses of some rows of the batch."""
        return loss_by_row(self.losses, self.which[rows], arrays)


def loss_by_row(losses: Sequence[Loss], which: Int[ndarray, " batch"], arrays: IndexArrays) -> LossByRow:
    """Bring the rows of each loss together."""
    order = np.argsort(which, kind="stable")
    return LossByRow(
        losses=losses,
        which=which,
        numbers=np.bincount(which, minlength=len(losses)).tolist(),
        order=arrays.put(order),
        place=arrays.put(np.argsort(order)),
    )


def losses_of_parts(losses: Sequence[Loss], part: Int[ndarray, " row"], arrays: IndexArrays) -> LossByRow:
    """Give each row the loss of its part; equal losses count once."""
    distinct: list[Loss] = []
    for loss in losses:
        if loss not in distinct:
            distinct.append(loss)
    return loss_by_row(distinct, np.array([distinct.index(loss) for loss in losses])[part], arrays)


def loss_of_rows(loss: Loss, rows: Int[ndarray, " row"], arrays: IndexArrays) -> Loss:
    """Give the loss of some rows of a batch: the same one, unless each row has its own."""
    if not isinstance(loss, LossByRow):  # a loss of anyone's is the same for all rows
        return loss
    return loss.of_rows(rows, arrays)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JoinedParts:
    """The triples of all parts of a loss together, sorted so that equal (head, relation) are computed once."""

    triples: Int[ndarray, "part_and_row 3"]
    loss: LossByRow
    part: Int[ndarray, " part_and_row"]
    row: Int[ndarray, " part_and_row"]

    @property
    def place(self) -> Int[ndarray, "row part"]:
        """Where the triples of each row stand."""
        found = np.empty((self.row.max(initial=-1) + 1, self.part.max(initial=-1) + 1), dtype=np.int64)
        found[self.row, self.part] = np.arange(len(self.row))
        return found


def join_parts(parts: Sequence[LossPart], rows: slice, arrays: IndexArrays) -> JoinedParts:
    """Put the triples that the parts make from some rows together."""
    triples = np.concatenate([part.triples[rows] for part in parts])
    order = np.lexsort((triples[:, 1], triples[:, 0]))
    part, row = np.divmod(order, max(1, len(triples) // len(parts)))
    loss = losses_of_parts([one.loss for one in parts], part, arrays)
    return JoinedParts(triples=triples[order], loss=loss, part=part, row=row)
