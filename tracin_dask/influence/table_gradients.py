"""Gradients of losses at rows of embedding tables, one by one, as curvature is made from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import CorruptingLoss, reads
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES
from tracin_dask.influence.losses.by_row import join_parts
from tracin_dask.influence.run_squares import SummedRows
from tracin_dask.influence.tiling import tiling_of

if TYPE_CHECKING:
    from tracin_dask.influence.engine import Engine

TableRows = Mapping[str, Int[ndarray, " id"]]
"""Rows of tables, ascending, by the names of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Gradients of some triples' losses at rows of one table: a triple has one at its head's row, one at its tail's."""

    ids: Int[ndarray, " entry"]
    """The row of each."""
    triple: Int[ndarray, " entry"]
    """The place of its triple in the batch."""

    @classmethod
    def joined(cls, parts: "list[Entries]") -> "Entries":
        """Put entries one after the other."""
        ids, triple = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "triple"))
        return cls(ids=ids, triple=triple)


@runtime_checkable
class TableIndex(Protocol):
    """What an engine found in the ids of triples whose gradients at rows of tables are wanted: each has its own."""

    @property
    def entries(self) -> Mapping[str, Entries]:
        """The gradients that there are, by tables; only tables with any."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedGradients:
    """What the ids of a batch say of gradients at rows, one for each triple and row."""

    pieces: tuple[TableIndex, ...]
    """Of the triples as they are; or of some at a time, with those that the loss makes from them."""
    tables: Mapping[str, "SummedEntries"]

    def gradients(self, engine: "Engine") -> dict[str, Float[Tensor, "entry _"]]:
        """Give the gradients of losses of single scores by tables, in the order of their entries."""
        parts = [engine.table_gradients(piece) for piece in self.pieces]
        found = {table: [part[table] for part in parts if table in part] for table in self.tables}
        return {table: some[0] if len(some) == 1 else torch.cat(some) for table, some in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedEntries:
    """Sums of entries of one table, one for each triple and row, sorted by row."""

    ids: Int[ndarray, " sum"]
    """The row of each."""
    rows: SummedRows
    """The entries of each."""


def index_gradients(
    engine: "Engine", ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays
) -> SummedGradients:
    """Find out which triples have gradients at some rows, in any thread.

    A loss of corrupted triples is a sum: its parts' gradients at one row are added up, as those of a triple whose head
    is its tail.
    """
    if reads(engine.loss) != CORRUPTED_TRIPLES:
        only = engine.index_tables(ids, rows, arrays)
        return SummedGradients(
            pieces=(only,), tables={table: _summed(entries, len(ids)) for table, entries in only.entries.items()}
        )
    parts = cast(CorruptingLoss, engine.loss).parts(ids, engine.num_entities)
    step, pieces = tiling_of(engine.model.device).rows_to_corrupt(len(parts)), list[TableIndex]()
    found: dict[str, list[Entries]] = {}
    for start in range(0, len(ids), step):
        joined = join_parts(parts, slice(start, start + step), arrays)
        pieces.append(engine.index_tables(joined.triples, rows, arrays, joined.loss))
        for table, one in pieces[-1].entries.items():
            mine = Entries(ids=one.ids, triple=start + joined.row[one.triple])
            found.setdefault(table, []).append(mine)
    tables = {table: _summed(Entries.joined(some), len(ids)) for table, some in found.items()}
    return SummedGradients(pieces=tuple(pieces), tables=tables)


def is_among(ids: Int[ndarray, " row"], some: Int[ndarray, " id"]) -> Bool[ndarray, " row"]:
    """Tell which ids are among some ascending ones."""
    if len(some) == 0:
        return np.zeros(len(ids), dtype=bool)
    place = np.minimum(np.searchsorted(some, ids), len(some) - 1)
    found: Bool[ndarray, " row"] = some[place] == ids
    return found


def _summed(entries: Entries, num_triples: int) -> SummedEntries:
    """Bring together what belongs to one triple and one row."""
    keys = entries.ids * num_triples + entries.triple
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    return SummedEntries(ids=entries.ids[order[starts]], rows=SummedRows(order=order, starts=starts))
