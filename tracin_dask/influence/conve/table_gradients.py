"""Gradients of ConvE's losses at rows of its tables, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, runs, send
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.conve.gradient_factors import LowerFactors, output_factors
from tracin_dask.influence.conve.lower_factors import lower_factors
from tracin_dask.influence.conve.lower_rows import lower_rows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, RELATIONS
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.table_gradients import TableGradients, TableRows, is_among
from tracin_dask.influence.terms import COLUMN, Row

TABLE_OF_ROW: dict[Row, str] = {"head": ENTITIES, "relation": RELATIONS, "tail": ENTITIES, "tail_bias": ENTITY_BIAS}
"""The table of each row that a triple has a gradient at."""


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
    batch = engine.index_now(triples)
    ahead, wanted = engine.ahead(batch), _Wanted(batch, rows)
    tails = engine.model.entities.index_select(0, batch.triples[:, 2])
    delta = engine.delta(ahead, tails)[:, None]
    head_rows, relation_rows = wanted.of("head"), wanted.of("relation")
    is_long = _in_long_runs(batch, head_rows, tails.shape[1]) & engine.model.tiling.by_pair
    short = head_rows[~is_long]
    at_projection = output_factors(engine.model, ahead, tails).at_projection
    lower = _lower(engine, ahead, at_projection, heads=short, relations=relation_rows)
    at_tail = send(wanted.of("tail"), delta.device)
    found: dict[Row, Tensor] = {
        "head": _with_long_runs(engine, batch, lower.head, head_rows, is_long),
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


def _lower(
    engine: PairEngine,
    ahead: Forward,
    at_projection: Float[Tensor, "batch dim"],
    *,
    heads: Int[ndarray, " head_row"],
    relations: Int[ndarray, " relation_row"],
) -> LowerFactors:
    """Carry the gradients of scores back to the rows of some heads and relations."""
    arrays = IndexArrays(engine.model.device)
    needed = lower_rows(arrays, heads, relations, moments=False, regions=frozenset(Sees))
    return lower_factors(engine.model, ahead, at_projection, needed, precision=engine.precision)


def _in_long_runs(batch: Batch, rows: Int[ndarray, " row"], dim: int) -> Bool[ndarray, " row"]:
    """Tell which rows share their (head, relation) with so many others that its Jacobian costs less than they do."""
    of_row = batch.pair_runs.of_row[rows]
    found: Bool[ndarray, " row"] = np.bincount(of_row, minlength=1)[of_row] > dim
    return found


def _with_long_runs(
    engine: PairEngine,
    batch: Batch,
    short: Float[Tensor, "short_row dim"],
    rows: Int[ndarray, " row"],
    is_long: Bool[ndarray, " row"],
) -> Float[Tensor, "row dim"]:
    """Add the gradients of long runs: the tails' embeddings times the Jacobian ∂x/∂head of their (head, relation)."""
    if not is_long.any():
        return short
    gradients = short.new_empty(len(rows), short.shape[1])
    gradients[send(np.flatnonzero(~is_long), short.device)] = short
    place = np.flatnonzero(is_long)
    place = place[np.argsort(batch.pair_runs.of_row[rows[place]], kind="stable")]
    cut = runs(batch.pair_runs.of_row[rows[place]])
    heads_relations = batch.ids[rows[place][cut.starts], :2]
    tails = engine.model.entities.index_select(0, send(batch.ids[rows[place], 2], short.device))
    for (start, stop), jacobian in zip(cut.bounds, _jacobians(engine, heads_relations), strict=True):
        gradients[send(place[start:stop], short.device)] = tails[start:stop] @ jacobian
    return gradients


def _jacobians(engine: PairEngine, pairs: Int[ndarray, "pair 2"]) -> Float[Tensor, "pair dim dim"]:
    """Differentiate x(h, r) by the head's embedding: [pair, of x, by head]."""
    dim = engine.model.config.embedding_dim
    ids = np.concatenate([np.repeat(pairs, dim, axis=0), np.zeros((dim * len(pairs), 1), np.int64)], axis=1)
    batch = engine.index_now(torch.from_numpy(ids))
    ahead = engine.ahead(batch)
    units = torch.eye(dim, dtype=ahead.x.dtype, device=ahead.x.device).repeat(len(pairs), 1)
    at_projection = output_factors(engine.model, ahead, units).at_projection
    lower = _lower(engine, ahead, at_projection, heads=np.arange(len(ids)), relations=np.empty(0, np.int64))
    return lower.head.view(len(pairs), dim, dim)


def gradients_at_rows(
    engine: PairEngine, triples: Int[Tensor, "batch 3"], table: str, ids: Int[ndarray, " id"]
) -> Iterator[Float[Tensor, "id triple width"]]:
    """Give the gradients of losses of all scores at some rows of a table, a few triples at a time."""
    width = 1 if table == ENTITY_BIAS else engine.model.config.embedding_dim
    one_triple = max(1, len(ids)) * width * engine.model.dtype.itemsize
    piece = max(1, engine.model.tiling.score_bytes // one_triple)
    for some in torch.split(triples, piece):
        yield _at_rows(engine, some, table, ids)


def _at_rows(
    engine: PairEngine, triples: Int[Tensor, "batch 3"], table: str, ids: Int[ndarray, " id"]
) -> Float[Tensor, "id triple width"]:
    assert engine.reader is not None  # noqa: S101 - of such losses
    batch = engine.index_now(triples)
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
