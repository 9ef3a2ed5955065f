"""Gradients of ConvE's losses of all scores at rows of its tables, one by one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.lower_factors import lower_factors
from tracin_dask.influence.conve.lower_rows import LowerRows, everything
from tracin_dask.influence.conve.tensor_names import ENTITY_BIAS, RELATIONS
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.table_gradients import TableRows


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeTriples:
    """Triples whose gradients are held at a time."""

    batch: Batch
    needed: LowerRows


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRows:
    """A batch of triples, and the rows of tables at which their gradients are wanted."""

    num_triples: int
    pieces: tuple[SomeTriples, ...]
    rows: Mapping[str, IndexArray]
    """[id] of every table."""

    def __len__(self) -> int:
        """Count the triples."""
        return self.num_triples


def index_at_rows(engine: PairEngine, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays) -> AtRows:
    """Cut a batch so that neither its gradients at the rows of a table nor at all scores take more than these may."""
    numbers = [
        len(of) * (1 if table == ENTITY_BIAS else engine.model.config.embedding_dim) for table, of in rows.items()
    ]
    one_triple = max(engine.num_entities, *numbers) * engine.model.dtype.itemsize
    step, pieces = max(1, engine.model.tiling.score_bytes // one_triple), []
    for at in range(0, len(ids), step):
        batch = engine.index(ids[at : at + step], arrays)
        pieces.append(SomeTriples(batch=batch, needed=everything(batch, arrays)))
    return AtRows(
        num_triples=len(ids), pieces=tuple(pieces), rows={table: arrays.put(of) for table, of in rows.items()}
    )


def gradients_at_rows(engine: PairEngine, indexed: AtRows) -> Iterator[tuple[str, Float[Tensor, "id triple width"]]]:
    """Give the gradients of losses of all scores at the rows of each table, a few triples at a time."""
    for some in indexed.pieces:
        yield from _of_piece(engine, some, indexed.rows)


def _of_piece(
    engine: PairEngine, some: SomeTriples, rows: Mapping[str, IndexArray]
) -> Iterator[tuple[str, Float[Tensor, "id triple width"]]]:
    assert engine.reader is not None  # noqa: S101 - of such losses
    batch = some.batch
    ahead, upper = engine.upper_factors(batch)
    x = ahead.x.index_select(0, batch.pair)
    at_scores = engine.reader.gradients(x, batch.triples[:, 2])
    at_projection = upper.output.at_projection
    lower = lower_factors(engine.model, ahead, at_projection, some.needed, precision=engine.precision)
    for table, ids in rows.items():
        if table == RELATIONS:
            yield table, _placed(batch.triples[:, 1], ids.tensor, lower.relation)
            continue
        as_tails = at_scores.index_select(0, ids.tensor)[:, :, None]
        if table == ENTITY_BIAS:
            yield table, as_tails
        else:
            yield table, as_tails * x + _placed(batch.triples[:, 0], ids.tensor, lower.head)


def _placed(
    ids: Int[Tensor, " triple"], rows: Int[Tensor, " id"], gradients: Float[Tensor, "triple width"]
) -> Float[Tensor, "id triple width"]:
    """Put each triple's gradient at its own row, and 0 at all others."""
    return (rows[:, None] == ids)[:, :, None] * gradients
