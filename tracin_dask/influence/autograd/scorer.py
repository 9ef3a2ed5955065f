"""Scores batches of training triples of any model against one set of test triples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.autograd.cost import (
    direction_bytes,
    directions_at_a_time,
    gradient_bytes,
    piece_rows,
)
from tracin_dask.influence.autograd.derivatives import ENTITY, RELATION, RowGradients
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.factors import GradientFactors
from tracin_dask.influence.engine import BatchScores, Indexed
from tracin_dask.influence.grouped import Squares
from tracin_dask.influence.id_join import Grouped, GroupedTests, IdIndex, Joined, add_where_equal, group, join
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses import Loss, derivative
from tracin_dask.influence.losses.by_row import LossByRow
from tracin_dask.influence.run_products import Multiplied
from tracin_dask.influence.tensors import move
from tracin_dask.influence.terms import COLUMN, Row, RowTerm, counted

ROW_TERMS: tuple[RowTerm, ...] = (
    RowTerm(name="head row meets test head", tensors={ENTITY}, train="head", test="head"),
    RowTerm(name="head row meets test tail", tensors={ENTITY}, train="head", test="tail"),
    RowTerm(name="tail row meets test head", tensors={ENTITY}, train="tail", test="head"),
    RowTerm(name="tail row meets test tail", tensors={ENTITY}, train="tail", test="tail"),
    RowTerm(name="relation row meets test relation", tensors={RELATION}, train="relation", test="relation"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SomeRows:
    """Some rows of a batch: those that read rows of tables that test triples read, too, or neighbours."""

    rows: IndexArray
    """[row]."""
    loss: LossByRow | None
    joined: Mapping[str, Joined | None]
    """Where heads and tails meet those of test triples, by the names of the terms."""
    relations: Grouped | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _DenseRows:
    """Neighbouring rows of a batch whose dense gradients meet those of test triples together."""

    rows: slice
    loss: LossByRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _GradientIndex:
    """A batch, and the rows that meet test triples, as many at a time as are differentiated together."""

    triples: IndexArray
    """[batch, 3]."""
    dense: tuple["_DenseRows", ...]
    pieces: tuple[_SomeRows, ...]

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.triples)


class GradientScorer:
    """An engine with the test triples' gradients on its device, and where their ids are found."""

    def __init__(self, engine: GradientEngine, test: GradientFactors) -> None:
        """Take the test triples' factors from any device."""
        self.engine = engine
        self._test = move(test, engine.model.device)
        ids, config = test.triples.cpu().numpy(), engine.model.config
        self._index: dict[Row, IdIndex] = {
            "head": IdIndex(ids[:, 0], config.num_entities),
            "relation": IdIndex(ids[:, 1], config.num_relations),
            "tail": IdIndex(ids[:, 2], config.num_entities),
        }
        self._terms = counted(ROW_TERMS, engine.derivatives.kinds)
        self._relations = GroupedTests(self._index["relation"], self._test.relation)

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self._test)

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays, loss: LossByRow | None = None) -> Indexed:
        """Find the rows that meet test triples."""
        engine, has_norms = self.engine, self.engine.modes.norms
        chosen = np.arange(len(ids)) if has_norms else np.flatnonzero(self._meets(ids))
        step = engine.gradients_at_a_time if has_norms else engine.rows_at_a_time
        pieces = (chosen[start : start + step] for start in range(0, len(chosen), step))
        return _GradientIndex(
            triples=arrays.put(ids),
            dense=() if has_norms else tuple(self._index_dense(len(ids), arrays, loss)),
            pieces=tuple(self._index_rows(ids, rows, arrays, loss) for rows in pieces),
        )

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch, in one part."""
        batch, engine, test = cast(_GradientIndex, indexed), self.engine, self._test
        triples = batch.triples.tensor
        total = torch.zeros(len(batch), len(test), dtype=engine.model.dtype, device=engine.model.device)
        squares = None
        if engine.modes.norms:
            squares = Squares(whole=torch.cat([self._add_whole(total, triples, piece) for piece in batch.pieces]))
        else:
            for some in batch.dense:
                total[some.rows] = self._dense_products(triples[some.rows], some.loss)
            for piece in batch.pieces:
                found = engine.derivatives.by_rows(triples.index_select(0, piece.rows.tensor))
                self._add_rows(total, piece, found, self._delta(found.scores, piece.loss))
        yield BatchScores(rows=np.arange(len(batch)), influences=total.mul_(test.scale), squares=squares)

    @property
    def _dense_piece(self) -> int:
        """Rows whose dense gradients meet at a time."""
        engine, storage = self.engine, self.engine.storage
        if engine.modes.forward:
            size = direction_bytes(engine.model.config, len(self._test), storage)
        else:
            size = gradient_bytes(engine.model.config, engine.tracked, storage.itemsize)
        return piece_rows(size, storage.tiling)

    def _delta(self, scores: Float[Tensor, " row"], loss: LossByRow | None) -> Float[Tensor, "row 1"]:
        """Differentiate the losses of some rows of a batch by their own scores."""
        return derivative(loss or cast(Loss, self.engine.loss), scores)[:, None]

    def _dense_products(self, triples: Int[Tensor, "row 3"], loss: LossByRow | None) -> Float[Tensor, "row test"]:
        """Multiply the dense tensors' gradients of some rows' losses with those of the test triples' scores."""
        engine, derivatives = self.engine, self.engine.derivatives
        if engine.modes.forward:
            at_a_time = directions_at_a_time(engine.model.config, engine.storage)
            scores, products = derivatives.along(triples, self._test.dense, at_a_time)
        else:
            scores, gradients = derivatives.of_each(triples)
            products = derivatives.products(gradients, self._test.dense)
        return products * self._delta(scores, loss)

    def _meets(self, ids: Int[ndarray, "batch 3"]) -> ndarray:
        """Tell of each triple whether it reads a row that a test triple reads."""
        is_met = np.zeros(len(ids), dtype=bool)
        for term in self._terms:
            is_met |= self._index[term.test].holds(ids[:, COLUMN[term.train]])
        return is_met

    def _index_dense(self, length: int, arrays: IndexArrays, loss: LossByRow | None) -> Iterator[_DenseRows]:
        """Cut a batch into the rows whose dense gradients meet at a time."""
        for start in range(0, length if self.engine.derivatives.dense else 0, self._dense_piece):
            rows = np.arange(start, min(start + self._dense_piece, length))
            yield _DenseRows(
                rows=slice(start, start + len(rows)), loss=None if loss is None else loss.of_rows(rows, arrays)
            )

    def _index_rows(
        self, ids: Int[ndarray, "batch 3"], rows: Int[ndarray, " row"], arrays: IndexArrays, loss: LossByRow | None
    ) -> _SomeRows:
        """Find where the table rows of some triples meet those of test triples."""
        some, joined, relations = ids[rows], {}, None
        for term in self._terms:
            index, mine = self._index[term.test], some[:, COLUMN[term.train]]
            if term.train == "relation":
                model, storage = self.engine.model, self.engine.storage
                of = Multiplied(dtype=model.dtype, width=self._test.relation.shape[1], tiling=storage.tiling)
                relations = group(index, mine, arrays, rows=rows, of=of)
            else:
                joined[term.name] = join(index, mine, arrays, rows=rows)
        own = None if loss is None else loss.of_rows(rows, arrays)
        return _SomeRows(rows=arrays.put(rows), loss=own, joined=joined, relations=relations)

    def _add_whole(
        self, total: Float[Tensor, "batch test"], triples: Int[Tensor, "batch 3"], piece: _SomeRows
    ) -> Float[Tensor, " row"]:
        """Write the products of whole gradients of some neighbours with those of the test triples, in place.

        Gives learning_rate · ⟨∇loss_i, P ∇loss_i⟩ of each.
        """
        engine, first = self.engine, int(piece.rows.host[0])
        mine = slice(first, first + len(piece.rows))
        found = engine.gradients(triples[mine], engine.model.dtype)
        delta = self._delta(found.rows.scores, piece.loss)
        if found.dense:
            torch.mul(engine.derivatives.products(found.dense, self._test.dense), delta, out=total[mine])
        self._add_rows(total, piece, found.rows, delta)
        return engine.squares(found, delta[:, 0])

    def _add_rows(
        self, total: Float[Tensor, "batch test"], piece: _SomeRows, found: RowGradients, delta: Float[Tensor, "row 1"]
    ) -> None:
        """Add the products of table rows of some triples with those of the test triples, in place."""
        theirs, gradients = self._test.by_row(), found.by_row()
        for train, terms in groupby(self._terms, key=lambda term: term.train):
            mine = gradients[train] * delta
            for term in terms:
                if term.name in piece.joined:
                    add_where_equal(total, piece.joined[term.name], mine, theirs[term.test])
                elif piece.relations is not None:
                    self._relations.add(total, piece.relations, mine)
