"""The terms of the embedding tables where the loss looks at the triple's own score only: few rows have a gradient."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_backward import Forward
from tracin_dask.influence.conve.forward_mode import OwnMoves, own_moves
from tracin_dask.influence.conve.gradient_factors import LowerFactors, Wanted
from tracin_dask.influence.conve.pair_product import ENTITIES, ENTITY_BIAS, RELATIONS, EmbeddingRows
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.id_join import IdIndex, IdVectors, add_by_relation, add_where_equal


class EmbeddingTerms:
    """The test triples' side of these terms, and where its ids meet those of a batch.

    What the head's and the relation's own regions add is ⟨d_i, own move of j⟩; the rest is in the region of both.
    """

    def __init__(self, engine: PairEngine, test: EmbeddingRows) -> None:
        """Take P times the gradients of the test triples' rows, on the engine's device."""
        config = engine.model.config
        self._tracked, self._test = engine.tracked, test
        self.ids: Int[ndarray, "test 3"] = test.triples.cpu().numpy()
        self._moves = own_moves(engine.model, test, engine.precision)
        self._vectors = _with_moves(test, self._moves)
        self._heads = IdIndex(self.ids[:, 0], config.num_entities)
        self._tails = IdIndex(self.ids[:, 2], config.num_entities)
        self._relations = IdIndex(self.ids[:, 1], config.num_relations)

    def wanted(self, ids: Int[ndarray, "batch 3"], *, moments: bool) -> Wanted:
        """Say which rows of a batch meet a test triple's."""
        none = np.zeros(len(ids), dtype=bool)
        is_head = self._heads.holds(ids[:, 0]) | self._tails.holds(ids[:, 0]) if ENTITIES in self._tracked else none
        return Wanted(
            moments=moments,
            head_rows=np.flatnonzero(is_head),
            relation_rows=self.relation_rows(ids),
            regions=frozenset({Sees.BOTH}),
        )

    def relation_rows(self, ids: Int[ndarray, "batch 3"]) -> Int[ndarray, " row"]:
        """List the rows that share their relation with a test triple."""
        return np.flatnonzero(self._relations.holds(ids[:, 1])) if RELATIONS in self._tracked else np.arange(0)

    def add(self, total: Tensor, ahead: Forward, at_projection: Tensor, lower: LowerFactors, wanted: Wanted) -> None:
        """Add all terms, in place."""
        rows, vectors = wanted.head_rows, self._vectors
        if len(rows):
            mine = torch.cat([lower.head, at_projection[send(rows, total.device)]], dim=1)
            heads = IdVectors(ids=ahead.batch.ids[rows, 0], vectors=mine, rows=rows)
            add_where_equal(total, self._heads, heads, vectors.head)
            add_where_equal(total, self._tails, heads, vectors.tail)
        self.add_relations(total, ahead.batch, at_projection, lower, wanted)
        self.add_tails(total, ahead)

    def add_relations(
        self, total: Tensor, batch: Batch, at_projection: Tensor, lower: LowerFactors, wanted: Wanted
    ) -> None:
        """Add the terms of the relations' rows, in place."""
        rows = wanted.relation_rows
        if len(rows):
            mine = torch.cat([lower.relation, at_projection[send(rows, total.device)]], dim=1)
            relations = IdVectors(ids=batch.ids[rows, 1], vectors=mine, rows=rows)
            add_by_relation(total, self._relations, relations, self._vectors.relation)

    def add_tails(self, total: Float[Tensor, "batch test"], ahead: Forward) -> None:
        """Add the terms of the tails' rows, whose gradients are the outputs x, in place."""
        tracked, test = self._tracked, self._test
        ids, pair = ahead.batch.ids[:, 2], ahead.batch.pair_runs.of_row
        if ENTITIES in tracked:
            tails = IdVectors(ids=ids, vectors=ahead.x, vector_of_row=pair)
            add_where_equal(total, self._heads, tails, test.head)
            add_where_equal(total, self._tails, tails, test.tail)
        if ENTITY_BIAS in tracked:
            tails = IdVectors(ids=ids, vectors=total.new_ones(1, 1), vector_of_row=np.zeros_like(pair))
            add_where_equal(total, self._tails, tails, test.tail_bias[:, None])

    def add_own_moves(self, total: Float[Tensor, "pair dim"], batch: Batch, test: int) -> None:
        """Add to the directions of pairs what moves with their head or relation alone, in place."""
        tracked, own, (heads, relations) = self._tracked, self._moves, batch.host_pairs.T
        h, r, t = self.ids[test].tolist()
        moved = []
        if ENTITIES in tracked:
            moved += [(heads == h, own.head), (heads == t, own.tail)]
        if RELATIONS in tracked:
            moved.append((relations == r, own.relation))
        for is_moved, moves in moved:
            if is_moved.any():
                total[send(np.flatnonzero(is_moved), total.device)] += moves[test]


def _with_moves(test: EmbeddingRows, moves: OwnMoves) -> EmbeddingRows:
    """Put each embedding's gradient beside how the projection's output moves along it."""
    return replace(
        test,
        head=torch.cat([test.head, moves.head], dim=1),
        relation=torch.cat([test.relation, moves.relation], dim=1),
        tail=torch.cat([test.tail, moves.tail], dim=1),
    )
