"""Gradients of ConvE's losses at rows of its tables, one by one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, runs, send
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.gradient_factors import output_factors
from tracin_dask.influence.conve.lower_factors import lower_factors
from tracin_dask.influence.conve.lower_rows import LowerRows, lower_rows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, RELATIONS
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses.by_row import LossByRow
from tracin_dask.influence.table_gradients import Entries, TableRows, is_among
from tracin_dask.influence.terms import COLUMN, Row

TABLE_OF_ROW: dict[Row, str] = {"head": ENTITIES, "relation": RELATIONS, "tail": ENTITIES, "tail_bias": ENTITY_BIAS}
"""The table of each row that a triple has a gradient at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfTable:
    """The gradients of a batch at rows of one table."""

    entries: Entries
    rows: tuple[Row, ...]
    """What the rows are to their triples: first all entries of the first of them."""
    triple: IndexArray
    """The triple of each entry: [entry]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvETables:
    """Which triples of a batch have a row whose gradient is wanted: a `TableIndex`."""

    loss: LossByRow | None
    """Losses of the triples' own; None for the engine's."""
    batch: Batch
    heads: Int[ndarray, " head_row"]
    """The triples whose head's row is wanted."""
    is_long: Bool[ndarray, " head_row"]
    """Which of these share a Jacobian; the others go back through the model."""
    needed: LowerRows
    """Of the others."""
    tails: IndexArray
    """The pair of each triple whose tail's row is wanted: [tail_row]."""
    tables: Mapping[str, OfTable]

    @property
    def entries(self) -> Mapping[str, Entries]:
        """The gradients that there are, by tables."""
        return {table: one.entries for table, one in self.tables.items()}


def index_tables(
    engine: PairEngine, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays, loss: LossByRow | None
) -> ConvETables:
    """Find out which triples have gradients at some rows; only those go back through the model."""
    batch = engine.index(ids, arrays)
    none = np.empty(0, np.int64)
    places = {row: np.flatnonzero(is_among(ids[:, COLUMN[row]], rows.get(TABLE_OF_ROW[row], none))) for row in COLUMN}
    heads = places["head"]
    is_long = _in_long_runs(batch, heads, engine.model.config.embedding_dim) & engine.model.tiling.by_pair
    return ConvETables(
        loss=loss,
        batch=batch,
        heads=heads,
        is_long=is_long,
        needed=_needed(arrays, heads=heads[~is_long], relations=places["relation"]),
        tails=arrays.put(batch.pair_runs.of_row[places["tail"]]),
        tables=_tables(ids, places, arrays),
    )


def _tables(
    ids: Int[ndarray, "batch 3"], places: Mapping[Row, Int[ndarray, " wanted"]], arrays: IndexArrays
) -> dict[str, OfTable]:
    """List the gradients of every table that has any."""
    found = {}
    for table in dict.fromkeys(TABLE_OF_ROW.values()):
        rows = [row for row, of in TABLE_OF_ROW.items() if of == table and len(places[row])]
        if rows:
            parts = [Entries(ids=ids[places[row], COLUMN[row]], triple=places[row]) for row in rows]
            entries = Entries.joined(parts)
            found[table] = OfTable(entries=entries, rows=tuple(rows), triple=arrays.put(entries.triple))
    return found


def table_gradients(engine: PairEngine, indexed: ConvETables) -> dict[str, Float[Tensor, "entry _"]]:
    """Give the gradients of losses of the triples' own scores at rows of tables, in the order of their entries."""
    model, batch = engine.model, indexed.batch
    ahead = engine.ahead(batch)
    tails = model.entities.index_select(0, batch.triples[:, 2])
    delta = (engine if indexed.loss is None else engine.with_loss(indexed.loss)).delta(ahead, tails)[:, None]
    at_projection = output_factors(model, ahead, tails).at_projection
    lower = lower_factors(model, ahead, at_projection, indexed.needed, precision=engine.precision)
    found: dict[Row, Callable[[], Tensor]] = {
        "head": lambda: _with_long_runs(engine, indexed, lower.head),
        "relation": lambda: lower.relation,
        "tail": lambda: ahead.x.index_select(0, indexed.tails.tensor),
        "tail_bias": lambda: delta.new_ones(len(indexed.tables[ENTITY_BIAS].triple), 1),
    }
    return {
        table: torch.cat([found[row]() for row in one.rows]) * delta.index_select(0, one.triple.tensor)
        for table, one in indexed.tables.items()
    }


def _needed(
    arrays: IndexArrays, *, heads: Int[ndarray, " head_row"], relations: Int[ndarray, " relation_row"]
) -> LowerRows:
    """List the rows of heads and relations to which gradients of scores are carried back."""
    return lower_rows(arrays, heads, relations, moments=False, regions=frozenset(Sees))


def _in_long_runs(batch: Batch, rows: Int[ndarray, " row"], dim: int) -> Bool[ndarray, " row"]:
    """Tell which rows share their (head, relation) with so many others that its Jacobian costs less than they do."""
    of_row = batch.pair_runs.of_row[rows]
    found: Bool[ndarray, " row"] = np.bincount(of_row, minlength=1)[of_row] > dim
    return found


def _with_long_runs(
    engine: PairEngine, indexed: ConvETables, short: Float[Tensor, "short_row dim"]
) -> Float[Tensor, "row dim"]:
    """Add the gradients of long runs: the tails' embeddings times the Jacobian ∂x/∂head of their (head, relation)."""
    rows, is_long, batch = indexed.heads, indexed.is_long, indexed.batch
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
    dim, arrays = engine.model.config.embedding_dim, IndexArrays(engine.model.device)
    ids = np.concatenate([np.repeat(pairs, dim, axis=0), np.zeros((dim * len(pairs), 1), np.int64)], axis=1)
    batch = engine.index(ids, arrays)
    needed = _needed(arrays, heads=np.arange(len(ids)), relations=np.empty(0, np.int64))
    ahead = engine.ahead(batch)
    units = torch.eye(dim, dtype=ahead.x.dtype, device=ahead.x.device).repeat(len(pairs), 1)
    at_projection = output_factors(engine.model, ahead, units).at_projection
    lower = lower_factors(engine.model, ahead, at_projection, needed, precision=engine.precision)
    return lower.head.view(len(pairs), dim, dim)
