"""Gradients of any model's losses at rows of its tables, one by one."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.autograd.all_tails import AllTails
from tracin_dask.influence.batch import send
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import Loss
from tracin_dask.influence.losses.by_row import loss_of_rows
from tracin_dask.influence.table_gradients import TableGradients, TableRows, is_among
from tracin_dask.influence.terms import COLUMN, Row

if TYPE_CHECKING:
    from tracin_dask.influence.autograd.engine import GradientEngine

ROWS: tuple[Row, ...] = ("head", "relation", "tail")


def table_gradients(
    engine: "GradientEngine", triples: Int[Tensor, "batch 3"], rows: TableRows
) -> Iterator[TableGradients]:
    """Give the gradients of losses of the triples' own scores at some rows, a piece of the batch after the other."""
    start = 0
    for piece in torch.split(triples, engine.gradients_at_a_time):
        rows_of_piece, arrays = np.arange(start, start + len(piece)), IndexArrays(engine.model.device)
        loss = loss_of_rows(cast(Loss, engine.loss), rows_of_piece, arrays)
        yield from _of_piece(engine.with_loss(loss), piece, rows, start)
        start += len(piece)


def _of_piece(
    engine: "GradientEngine", triples: Int[Tensor, "batch 3"], rows: TableRows, start: int
) -> Iterator[TableGradients]:
    found = engine.derivatives.by_rows(triples.to(engine.model.device))
    ids, by_row, delta = triples.numpy(), found.by_row(), engine.delta(found.scores)[:, None]
    for row in ROWS:
        tables = engine.derivatives.tables["relation" if row == "relation" else "entity"]
        for table, gradients in zip(tables, _apart(engine, tables, by_row[row]), strict=True):
            place = np.flatnonzero(is_among(ids[:, COLUMN[row]], rows.get(table, np.empty(0, np.int64))))
            chosen = send(place, delta.device)
            yield TableGradients(
                table=table,
                ids=ids[place, COLUMN[row]],
                triple=start + place,
                gradients=gradients.index_select(0, chosen) * delta.index_select(0, chosen),
            )


def gradients_at_rows(
    tails: AllTails, engine: "GradientEngine", triples: Int[Tensor, "batch 3"], table: str, ids: Int[ndarray, " id"]
) -> Iterator[Float[Tensor, "id triple width"]]:
    """Give the gradients of losses of all scores at some rows of a table, some triples at a time."""
    placed, rows = triples.to(engine.model.device), send(ids, engine.model.device)
    for piece in torch.split(placed, engine.gradients_at_a_time):
        whole = tails.gradients(engine.loss, piece)[1][table]
        number = len(tails.tracked[table])
        yield whole.view(len(whole), number, whole.shape[1] // number).index_select(1, rows).transpose(0, 1)


def _apart(
    engine: "GradientEngine", tables: Sequence[str], side_by_side: Float[Tensor, "batch width"]
) -> Sequence[Float[Tensor, "batch _"]]:
    sizes = {table.name: table.row_size for table in engine.model.config.tables}
    return torch.split(side_by_side, [sizes[name] for name in tables], dim=1) if tables else ()
