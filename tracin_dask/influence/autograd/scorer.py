"""Scores batches of training triples of any model against one set of test triples."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
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
    row_bytes,
)
from tracin_dask.influence.autograd.derivatives import ENTITY, RELATION
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.factors import GradientFactors
from tracin_dask.influence.batch import send
from tracin_dask.influence.engine import BatchScores
from tracin_dask.influence.id_join import IdIndex, IdVectors, add_by_relation, add_where_equal
from tracin_dask.influence.losses import Loss, derivative
from tracin_dask.influence.losses.by_row import loss_of_rows
from tracin_dask.influence.tensors import move
from tracin_dask.influence.terms import COLUMN, Row, RowTerm, counted

ROW_TERMS: tuple[RowTerm, ...] = (
    RowTerm(name="head row meets test head", tensors={ENTITY}, train="head", test="head"),
    RowTerm(name="head row meets test tail", tensors={ENTITY}, train="head", test="tail"),
    RowTerm(name="tail row meets test head", tensors={ENTITY}, train="tail", test="head"),
    RowTerm(name="tail row meets test tail", tensors={ENTITY}, train="tail", test="tail"),
    RowTerm(name="relation row meets test relation", tensors={RELATION}, train="relation", test="relation"),
)


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

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self._test)

    def with_loss(self, loss: Loss) -> "GradientScorer":
        """Give a scorer of another loss of the training triples' own scores; it shares all that is laid out."""
        scorer = copy(self)
        scorer.engine = replace(self.engine, loss=loss)
        return scorer

    def whole(self, ids: Int[ndarray, "batch 3"]) -> Float[Tensor, "batch test"]:
        """Score a batch."""
        engine, test = self.engine, self._test
        total = torch.zeros(len(ids), len(test), dtype=engine.model.dtype, device=engine.model.device)
        if engine.derivatives.dense:
            for start in range(0, len(ids), self._dense_piece):
                some = slice(start, start + self._dense_piece)
                total[some] = self._dense_products(ids, np.arange(len(ids))[some])
        meeting = np.flatnonzero(self._meets(ids))
        storage = engine.storage
        step = piece_rows(row_bytes(engine.model.config, engine.tracked, storage.itemsize), storage.tiling)
        for start in range(0, len(meeting), step):
            self._add_rows(total, ids, meeting[start : start + step])
        return total.mul_(test.scale)

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch, in one part."""
        yield BatchScores(rows=np.arange(len(ids)), influences=self.whole(ids))

    @property
    def _dense_piece(self) -> int:
        """Rows whose dense gradients meet at a time."""
        engine, storage = self.engine, self.engine.storage
        if engine.modes.forward:
            size = direction_bytes(engine.model.config, len(self._test), storage)
        else:
            size = gradient_bytes(engine.model.config, engine.tracked, storage.itemsize)
        return piece_rows(size, storage.tiling)

    def _delta(self, scores: Float[Tensor, " row"], rows: Int[ndarray, " row"]) -> Float[Tensor, "row 1"]:
        """Differentiate the losses of some rows of a batch by their own scores."""
        return derivative(loss_of_rows(cast(Loss, self.engine.loss), rows), scores)[:, None]

    def _dense_products(self, ids: Int[ndarray, "batch 3"], rows: Int[ndarray, " row"]) -> Float[Tensor, "row test"]:
        """Multiply the dense tensors' gradients of some rows' losses with those of the test triples' scores."""
        engine, derivatives = self.engine, self.engine.derivatives
        triples = send(ids[rows], engine.model.device)
        if engine.modes.forward:
            at_a_time = directions_at_a_time(engine.model.config, engine.storage)
            scores, products = derivatives.along(triples, self._test.dense, at_a_time)
        else:
            scores, gradients = derivatives.of_each(triples)
            products = derivatives.products(gradients, self._test.dense)
        return products * self._delta(scores, rows)

    def _meets(self, ids: Int[ndarray, "batch 3"]) -> ndarray:
        """Tell of each triple whether it reads a row that a test triple reads."""
        is_met = np.zeros(len(ids), dtype=bool)
        for term in self._terms:
            is_met |= self._index[term.test].holds(ids[:, COLUMN[term.train]])
        return is_met

    def _add_rows(self, total: Float[Tensor, "batch test"], ids: Int[ndarray, "batch 3"], rows: ndarray) -> None:
        """Add the products of table rows of some triples with those of the test triples, in place."""
        some, theirs = ids[rows], self._test.by_row()
        found = self.engine.derivatives.by_rows(send(some, total.device))
        delta, gradients = self._delta(found.scores, rows), found.by_row()
        for train, terms in groupby(self._terms, key=lambda term: term.train):
            mine = IdVectors(ids=some[:, COLUMN[train]], vectors=gradients[train] * delta, rows=rows)
            add = add_by_relation if train == "relation" else add_where_equal
            for term in terms:
                add(total, self._index[term.test], mine, theirs[term.test])
