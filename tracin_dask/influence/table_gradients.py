"""Gradients of losses at rows of embedding tables, one by one, as curvature is made from them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import CorruptingLoss, reads
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES
from tracin_dask.influence.losses.by_row import join_parts
from tracin_dask.influence.tiling import tiling_of

if TYPE_CHECKING:
    from tracin_dask.influence.engine import Engine

TableRows = Mapping[str, Int[ndarray, " id"]]
"""Rows of tables, ascending, by the names of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableGradients:
    """Gradients of some triples' losses at rows of one table; a triple has one at its head's row, one at its tail's."""

    table: str
    ids: Int[ndarray, " entry"]
    """The row of each."""
    triple: Int[ndarray, " entry"]
    """The place of its triple in the batch."""
    gradients: Float[Tensor, "entry width"]


def summed_by_triple(engine: "Engine", triples: Int[Tensor, "batch 3"], rows: TableRows) -> dict[str, TableGradients]:
    """Give the gradients of losses of single scores at some rows, one for each triple and row, sorted by row.

    A loss of corrupted triples is a sum: its parts' gradients at one row are added up, as those of a triple whose head
    is its tail.
    """
    found: dict[str, list[TableGradients]] = {}
    for one in _parts(engine, triples, rows):
        found.setdefault(one.table, []).append(one)
    return {table: _summed(parts, len(triples)) for table, parts in found.items()}


def is_among(ids: Int[ndarray, " row"], some: Int[ndarray, " id"]) -> Bool[ndarray, " row"]:
    """Tell which ids are among some ascending ones."""
    if len(some) == 0:
        return np.zeros(len(ids), dtype=bool)
    place = np.minimum(np.searchsorted(some, ids), len(some) - 1)
    found: Bool[ndarray, " row"] = some[place] == ids
    return found


def _parts(engine: "Engine", triples: Int[Tensor, "batch 3"], rows: TableRows) -> Iterator[TableGradients]:
    if reads(engine.loss) != CORRUPTED_TRIPLES:
        yield from engine.table_gradients(triples, rows)
        return
    parts = cast(CorruptingLoss, engine.loss).parts(triples.numpy(), engine.num_entities)
    step = tiling_of(engine.model.device).rows_to_corrupt(len(parts))
    for start in range(0, len(triples), step):
        joined = join_parts(parts, slice(start, start + step), IndexArrays(engine.model.device))
        for found in engine.with_loss(joined.loss).table_gradients(torch.from_numpy(joined.triples), rows):
            yield replace(found, triple=start + joined.row[found.triple])


def _summed(parts: list[TableGradients], num_triples: int) -> TableGradients:
    """Add up what belongs to one triple and one row."""
    ids, triple = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "triple"))
    keys = ids * num_triples + triple
    order = np.argsort(keys, kind="stable")
    is_first = np.append(True, np.diff(keys[order]) > 0)
    gradients = torch.cat([part.gradients for part in parts])
    gradients = gradients.index_select(0, send(order, gradients.device))
    if not is_first.all():
        total = gradients.new_zeros(int(is_first.sum()), gradients.shape[1])
        gradients = total.index_add_(0, send(np.cumsum(is_first) - 1, total.device), gradients)
    place = order[is_first[: len(order)]]
    return TableGradients(table=parts[0].table, ids=ids[place], triple=triple[place], gradients=gradients)
