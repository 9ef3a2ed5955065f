"""Gradients of any model's losses at rows of its tables, one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.autograd.all_tails import AllTails
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses.by_row import LossByRow
from tracin_dask.influence.table_gradients import Entries, TableRows, is_among
from tracin_dask.influence.terms import COLUMN, Row

if TYPE_CHECKING:
    from tracin_dask.influence.autograd.engine import GradientEngine

ROWS: tuple[Row, ...] = ("head", "relation", "tail")


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeTables:
    """Triples whose gradients are made at a time."""

    triples: IndexArray
    """[triple, 3]."""
    loss: LossByRow | None
    """Losses of the triples' own; None for the engine's."""
    chosen: Mapping[str, Mapping[Row, IndexArray]]
    """The triples whose row of a table is wanted, by tables and by what the row is to its triple: [wanted]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyTables:
    """Which triples of a batch have a row whose gradient is wanted: a `TableIndex`."""

    pieces: tuple[SomeTables, ...]
    entries: Mapping[str, Entries]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyAtRows:
    """A batch of triples, and the rows of tables at which their gradients are wanted."""

    triples: IndexArray
    """[triple, 3]."""
    rows: Mapping[str, IndexArray]
    """[id] of every table."""

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.triples)


def index_tables(
    engine: "GradientEngine",
    ids: Int[ndarray, "batch 3"],
    rows: TableRows,
    arrays: IndexArrays,
    loss: LossByRow | None,
) -> AnyTables:
    """Find out which triples have gradients at some rows, a piece of the batch after the other."""
    step, pieces, found = engine.gradients_at_a_time, list[SomeTables](), dict[str, list[Entries]]()
    for start in range(0, len(ids), step):
        triples, chosen = ids[start : start + step], dict[str, dict[Row, IndexArray]]()
        for row in ROWS:
            of_row = triples[:, COLUMN[row]]
            for table in engine.derivatives.tables["relation" if row == "relation" else "entity"]:
                place = np.flatnonzero(is_among(of_row, rows.get(table, np.empty(0, np.int64))))
                if len(place):
                    chosen.setdefault(table, {})[row] = arrays.put(place)
                    found.setdefault(table, []).append(Entries(ids=of_row[place], triple=start + place))
        own = None if loss is None else loss.of_rows(np.arange(start, start + len(triples)), arrays)
        pieces.append(SomeTables(triples=arrays.put(triples), loss=own, chosen=chosen))
    return AnyTables(pieces=tuple(pieces), entries={table: Entries.joined(some) for table, some in found.items()})


def table_gradients(engine: "GradientEngine", indexed: AnyTables) -> dict[str, Float[Tensor, "entry _"]]:
    """Give the gradients of losses of the triples' own scores at rows of tables, in the order of their entries."""
    parts = [_of_piece(engine, piece) for piece in indexed.pieces]
    return {table: torch.cat([part for some in parts for part in some.get(table, ())]) for table in indexed.entries}


def _of_piece(engine: "GradientEngine", piece: SomeTables) -> dict[str, list[Float[Tensor, "wanted _"]]]:
    """Give the gradients of some triples, by tables and by what rows are to their triples."""
    engine = engine if piece.loss is None else engine.with_loss(piece.loss)
    found = engine.derivatives.by_rows(piece.triples.tensor)
    by_row, delta = found.by_row(), engine.delta(found.scores)[:, None]
    whole = {
        row: dict(zip(tables, _apart(engine, tables, by_row[row]), strict=True))
        for row in ROWS
        for tables in [engine.derivatives.tables["relation" if row == "relation" else "entity"]]
    }
    return {
        table: [
            whole[row][table].index_select(0, chosen.tensor) * delta.index_select(0, chosen.tensor)
            for row, chosen in of_table.items()
        ]
        for table, of_table in piece.chosen.items()
    }


def index_at_rows(ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays) -> AnyAtRows:
    """Take triples to the device whose losses are of all scores, and the rows at which gradients are wanted."""
    return AnyAtRows(triples=arrays.put(ids), rows={table: arrays.put(of) for table, of in rows.items()})


def gradients_at_rows(
    tails: AllTails, engine: "GradientEngine", indexed: AnyAtRows
) -> Iterator[tuple[str, Float[Tensor, "id triple width"]]]:
    """Give the gradients of losses of all scores at the rows of each table, some triples at a time."""
    for piece in torch.split(indexed.triples.tensor, engine.gradients_at_a_time):
        gradients = tails.gradients(engine.loss, piece)[1]
        for table, ids in indexed.rows.items():
            whole = gradients[table].reshape(len(piece), len(tails.tracked[table]), -1)
            yield table, whole.index_select(1, ids.tensor).transpose(0, 1)


def _apart(
    engine: "GradientEngine", tables: Sequence[str], side_by_side: Float[Tensor, "batch width"]
) -> Sequence[Float[Tensor, "batch _"]]:
    sizes = {table.name: table.row_size for table in engine.model.config.tables}
    return torch.split(side_by_side, [sizes[name] for name in tables], dim=1) if tables else ()
