"""The terms of the embedding tables under a loss of the triple's own score, which gives few rows a gradient.

The product of two gradients of an input row is the sum of two inner products, with factors side by side: the gradients
of the region that sees both embeddings, and d_i with the own move of j for the region that sees one alone.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows, LowerFactors
from tracin_dask.influence.conve.lower_factors import LowerRows
from tracin_dask.influence.conve.moved_pairs import MovedPairs
from tracin_dask.influence.conve.own_moves import OWN_MOVES, own_moves
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, RELATIONS
from tracin_dask.influence.id_join import IdIndex, IdVectors, add_by_relation, add_where_equal
from tracin_dask.influence.terms import COLUMN, Row, RowTerm, counted

ROW_TERMS: tuple[RowTerm, ...] = (
    RowTerm(name="head row meets test head", tensors={ENTITIES}, train="head", test="head"),
    RowTerm(name="head row meets test tail", tensors={ENTITIES}, train="head", test="tail"),
    RowTerm(name="relation row meets test relation", tensors={RELATIONS}, train="relation", test="relation"),
    RowTerm(name="tail row meets test head", tensors={ENTITIES}, train="tail", test="head"),
    RowTerm(name="tail row meets test tail", tensors={ENTITIES}, train="tail", test="tail"),
    RowTerm(name="entity bias", tensors={ENTITY_BIAS}, train="tail_bias", test="tail_bias"),
)


class RowTerms:
    """The test triples' side of these terms, and the look-up of its ids."""

    def __init__(self, engine: PairEngine, test: EmbeddingRows, *, whole: bool = False) -> None:
        """Take P times the gradients of the test triples' rows, on the engine's device.

        They meet `whole` gradients of input rows, or factors of these side by side.
        """
        config, ids = engine.model.config, test.triples.cpu().numpy()
        self._tracked, self._moves = engine.tracked, own_moves(engine.model, test, engine.precision)
        tails, outputs = IdIndex(ids[:, 2], config.num_entities), test.by_row()
        self._index: dict[Row, IdIndex] = {
            "head": IdIndex(ids[:, 0], config.num_entities),
            "relation": IdIndex(ids[:, 1], config.num_relations),
            "tail": tails,
            "tail_bias": tails,
        }
        inputs = {row: torch.cat([outputs[row], moves], dim=1) for row, moves in self._moves.items()}
        inputs = dict(outputs) if whole else inputs
        self._theirs: dict[Row, Mapping[Row, Tensor]] = {
            "head": inputs,
            "relation": inputs,
            "tail": outputs,
            "tail_bias": outputs,
        }

    def needed(self, ids: Int[ndarray, "batch 3"], *, moments: bool) -> LowerRows:
        """List the rows of a batch whose inputs meet a test triple's row."""
        return LowerRows(
            moments=moments,
            head_rows=self.meeting(ids, "head"),
            relation_rows=self.meeting(ids, "relation"),
            regions=frozenset({Sees.BOTH}),
        )

    def meeting(self, ids: Int[ndarray, "batch 3"], train: Row) -> Int[ndarray, " row"]:
        """List the triples of a batch whose head, relation or tail row meets a test triple's row."""
        meets = np.zeros(len(ids), dtype=bool)
        for term in counted(ROW_TERMS, self._tracked):
            if term.train == train:
                meets |= self._index[term.test].holds(ids[:, COLUMN[train]])
        return np.flatnonzero(meets)

    def add(self, total: Tensor, ahead: Forward, at_projection: Tensor, lower: LowerFactors, needed: LowerRows) -> None:
        """Add all terms, in place."""
        if len(needed.head_rows):
            self._add(total, "head", _inputs(ahead.batch, "head", needed.head_rows, lower.head, at_projection))
        self.add_relations(total, ahead.batch, at_projection, lower, needed)
        self.add_tails(total, ahead)

    def add_whole(self, total: Float[Tensor, "batch test"], ahead: Forward, lower: LowerFactors) -> None:
        """Add all terms from the whole gradients of all rows, in place."""
        ids = ahead.batch.ids
        self._add(total, "head", IdVectors(ids=ids[:, 0], vectors=lower.head))
        self._add(total, "relation", IdVectors(ids=ids[:, 1], vectors=lower.relation))
        self.add_tails(total, ahead)

    def add_relations(
        self, total: Tensor, batch: Batch, at_projection: Tensor, lower: LowerFactors, needed: LowerRows
    ) -> None:
        """Add the terms of the relations' rows, in place."""
        rows = needed.relation_rows
        if len(rows):
            self._add(total, "relation", _inputs(batch, "relation", rows, lower.relation, at_projection))

    def add_tails(self, total: Float[Tensor, "batch test"], ahead: Forward) -> None:
        """Add the terms of the tails' rows, whose gradients are the outputs x, and of their biases, in place."""
        ids, pair = ahead.batch.ids[:, 2], ahead.batch.pair_runs.of_row
        self._add(total, "tail", IdVectors(ids=ids, vectors=ahead.x, vector_of_row=pair))
        ones = IdVectors(ids=ids, vectors=total.new_ones(1, 1), vector_of_row=np.zeros_like(pair))
        self._add(total, "tail_bias", ones)

    def moved_pairs(self, batch: Batch) -> MovedPairs:
        """Find the pairs whose head or relation moves along the test triples' gradients."""
        return MovedPairs(self._index, batch.host_pairs)

    def add_own_moves(self, total: Float[Tensor, "some_test pair dim"], moved: MovedPairs, tests: slice) -> None:
        """Add the moves of the regions that see a pair's head or relation alone to its directions, in place."""
        for term in counted(OWN_MOVES, self._tracked):
            moved.add(total, term, self._moves[term.test], tests)

    def _add(self, total: Float[Tensor, "batch test"], train: Row, mine: IdVectors) -> None:
        """Add the terms of one row of each training triple."""
        join = add_by_relation if train == "relation" else add_where_equal
        for term in counted(ROW_TERMS, self._tracked):
            if term.train == train:
                join(total, self._index[term.test], mine, self._theirs[train][term.test])


def _inputs(
    batch: Batch,
    row: Row,
    rows: Int[ndarray, " row"],
    lower: Float[Tensor, "row dim"],
    at_projection: Float[Tensor, "batch dim"],
) -> IdVectors:
    """Put both parts of the gradients of some triples' rows side by side."""
    vectors = torch.cat([lower, at_projection[send(rows, lower.device)]], dim=1)
    return IdVectors(ids=batch.ids[rows, COLUMN[row]], vectors=vectors, rows=rows)
