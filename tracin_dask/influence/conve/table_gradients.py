"""Gradients of ConvE's losses at rows of its tables, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.gradient_factors import output_factors
from tracin_dask.influence.conve.lower_factors import LowerRows, lower_factors
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, RELATIONS
from tracin_dask.influence.table_gradients import TableGradients, TableRows, is_among
from tracin_dask.influence.terms import COLUMN, Row

TABLE_OF_ROW: dict[Row, str] = {"head": ENTITIES, "relation": RELATIONS, "tail": ENTITIES, "tail_bias": ENTITY_BIAS}
"""The table of each row that a triple has a gradient at."""
PIECE_BYTES = 64 * 2**20
"""Gradients at many rows that are made at a time."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which triples of a batch have a row whose gradient is wanted."""

    batch: Batch
    rows: TableRows

    def of(self, row: Row) -> Int[ndarray, " wanted"]:
        """List them, by their place in the batch."""
        table = TABLE_OF_ROW[row]
        if table not in self.rows:
            return np.empty(0, np.int64)
        return np.flatnonzero(is_among(self.batch.ids[:, COLUMN[row]], self.rows[table]))


def table_gradients(engine: PairEngine, triples: Int[Tensor, "batch 3"], rows: TableRows) -> Iterator[TableGradients]:
    """Give the gradients of losses of the triples' own scores at some rows; only those go back through the model."""
    batch = engine.index(triples)
    ahead, wanted = engine.ahead(batch), _Wanted(batch, rows)
    tails = engine.model.entities.index_select(0, batch.triples[:, 2])
    delta = engine.delta(ahead, tails)[:, None]
    needed = LowerRows(
        moments=False,
        head_rows=wanted.of("head"),
        relation_rows=wanted.of("relation"),
        regions=frozenset(Sees),
    )
    at_projection = output_factors(engine.model, ahead, tails).at_projection
    lower = lower_factors(engine.model, ahead, at_projection, needed, precision=engine.precision)
    at_tail = send(wanted.of("tail"), delta.device)
    found: dict[Row, Tensor] = {
        "head": lower.head,
        "relation": lower.relation,
        "tail": ahead.x.index_select(0, batch.pair.index_select(0, at_tail)),
        "tail_bias": delta.new_ones(len(wanted.of("tail_bias")), 1),
    }
    for row, gradients in found.items():
        place = wanted.of(row)
        if len(place):
            yield TableGradients(
                table=TABLE_OF_ROW[row],
                ids=batch.ids[place, COLUMN[row]],
                triple=place,
                gradients=gradients * delta.index_select(0, send(place, delta.device)),
            )


def gradients_at_rows(
    engine: PairEngine, triples: Int[Tensor, "batch 3"], table: str, ids: Int[ndarray, " id"]
) -> Iterator[Float[Tensor, "id triple width"]]:
    """Give the gradients of losses of all scores at some rows of a table, a few triples at a time."""
    width = 1 if table == ENTITY_BIAS else engine.model.config.embedding_dim
    piece = max(1, PIECE_BYTES // (max(1, len(ids)) * width * engine.model.dtype.itemsize))
    for some in torch.split(triples, piece):
        yield _at_rows(engine, some, table, ids)


def _at_rows(
    engine: PairEngine, triples: Int[Tensor, "batch 3"], table: str, ids: Int[ndarray, " id"]
) -> Float[Tensor, "id triple width"]:
    assert engine.reader is not None  # noqa: S101 - of such losses
    batch = engine.index(triples)
    ahead, upper = engine.upper_factors(batch)
    rows = send(ids, engine.model.device)
    x = ahead.x.index_select(0, batch.pair)
    at_scores = engine.reader.gradients(x, batch.triples[:, 2]).index_select(0, rows)
    if table == ENTITY_BIAS:
        return at_scores[:, :, None]
    lower = engine.everything_below(ahead, upper.output)
    if table == RELATIONS:
        return _placed(batch.triples[:, 1], rows, lower.relation)
    return at_scores[:, :, None] * x + _placed(batch.triples[:, 0], rows, lower.head)


def _placed(
    ids: Int[Tensor, " triple"], rows: Int[Tensor, " id"], gradients: Float[Tensor, "triple width"]
) -> Float[Tensor, "id triple width"]:
    """Put each triple's gradient at its own row, and 0 at all others."""
    return (rows[:, None] == ids)[:, :, None] * gradients
