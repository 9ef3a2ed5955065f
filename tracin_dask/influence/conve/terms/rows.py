"""The terms of the embedding tables under a loss of the triple's own score, which gives few rows a gradient.

The product of two gradients of an input row is the sum of two inner products, with factors side by side: the gradients
of the region that sees both embeddings, and d_i with the own move of j for the region that sees one alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_mode import MOVED_EMBEDDINGS
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows, LowerFactors
from tracin_dask.influence.conve.lower_rows import LowerRows
from tracin_dask.influence.conve.moved_pairs import MovedPairs
from tracin_dask.influence.conve.own_moves import OWN_MOVES, own_moves
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, RELATIONS
from tracin_dask.influence.id_join import Grouped, GroupedTests, IdIndex, Joined, add_where_equal, group, join
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.run_products import Multiplied
from tracin_dask.influence.terms import COLUMN, Row, RowTerm, counted

ROW_TERMS: tuple[RowTerm, ...] = (
    RowTerm(name="head row meets test head", tensors={ENTITIES}, train="head", test="head"),
    RowTerm(name="head row meets test tail", tensors={ENTITIES}, train="head", test="tail"),
    RowTerm(name="relation row meets test relation", tensors={RELATIONS}, train="relation", test="relation"),
    RowTerm(name="tail row meets test head", tensors={ENTITIES}, train="tail", test="head"),
    RowTerm(name="tail row meets test tail", tensors={ENTITIES}, train="tail", test="tail"),
    RowTerm(name="entity bias", tensors={ENTITY_BIAS}, train="tail_bias", test="tail_bias"),
)


Meetings: TypeAlias = Mapping[str, Joined | None]
"""Where rows of a batch meet those of test triples, by the names of the terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowIndex:
    """Where the rows of a batch meet those of test triples."""

    head_rows: IndexArray
    """The triples whose heads have gradients: [head_row]."""
    heads: Meetings
    tails: Meetings
    relation_rows: IndexArray
    """The triples whose relations have: [relation_row]."""
    relations: Grouped | None
    """None where no relation's row meets one."""


class RowTerms:
    """The test triples' side of these terms, and the look-up of its ids."""

    def __init__(self, engine: PairEngine, test: EmbeddingRows, *, whole: bool = False) -> None:
        """Take P times the gradients of the test triples' rows, on the engine's device.

        They meet `whole` gradients of input rows, or factors of these side by side.
        """
        config, ids = engine.model.config, test.triples.cpu().numpy()
        self._model, self._tracked, self._moves = (
            engine.model,
            engine.tracked,
            own_moves(engine.model, test, engine.precision),
        )
        tails, outputs = IdIndex(ids[:, 2], config.num_entities), test.by_row()
        self._index: dict[Row, IdIndex] = {
            "head": IdIndex(ids[:, 0], config.num_entities),
            "relation": IdIndex(ids[:, 1], config.num_relations),
            "tail": tails,
            "tail_bias": tails,
        }
        inputs = {row: torch.cat([outputs[row], moves], dim=1) for row, moves in self._moves.items()}
        inputs = dict(outputs) if whole else inputs
        self._width = inputs["relation"].shape[1]
        self._theirs: dict[Row, Mapping[Row, Tensor]] = {"head": inputs, "tail": outputs, "tail_bias": outputs}
        takes_rows = engine.reader is not None or not engine.modes.forward  # else relations move along directions
        has_relations = takes_rows and any(self._of("relation"))
        self._relations = GroupedTests(self._index["relation"], inputs["relation"]) if has_relations else None

    def index(self, batch: Batch, needed: LowerRows, arrays: IndexArrays, *, tails: bool) -> RowIndex:
        """Find where the rows of a batch meet those of test triples; tails only where these have rows of their own."""
        return RowIndex(
            head_rows=needed.head_rows,
            relation_rows=needed.relation_rows,
            heads=self._meetings("head", batch, arrays, rows=needed.head_rows.host) if tails else {},
            tails=self._meetings("tail", batch, arrays) | self._meetings("tail_bias", batch, arrays) if tails else {},
            relations=self._grouped(batch, needed.relation_rows.host, arrays),
        )

    def meeting(self, ids: Int[ndarray, "batch 3"], train: Row) -> Int[ndarray, " row"]:
        """List the triples of a batch whose head, relation or tail row meets a test triple's row."""
        meets = np.zeros(len(ids), dtype=bool)
        for term in self._of(train):
            meets |= self._index[term.test].holds(ids[:, COLUMN[train]])
        return np.flatnonzero(meets)

    def add(
        self,
        total: Float[Tensor, "batch test"],
        found: RowIndex,
        ahead: Forward,
        at_projection: Float[Tensor, "batch dim"],
        lower: LowerFactors,
    ) -> None:
        """Add all terms, in place."""
        if len(found.head_rows):
            self._add(total, "head", found.heads, _inputs(found.head_rows, lower.head, at_projection))
        self.add_relations(total, found, at_projection, lower)
        self.add_tails(total, found.tails, ahead)

    def add_whole(
        self, total: Float[Tensor, "batch test"], found: RowIndex, ahead: Forward, lower: LowerFactors
    ) -> None:
        """Add all terms from the whole gradients of all rows, in place."""
        self._add(total, "head", found.heads, lower.head)
        self.add_whole_relations(total, found, lower)
        self.add_tails(total, found.tails, ahead)

    def add_whole_relations(self, total: Float[Tensor, "batch test"], found: RowIndex, lower: LowerFactors) -> None:
        """Add the terms of the relations' rows from the whole gradients of all rows, in place."""
        if self._relations is not None and found.relations is not None:
            self._relations.add(total, found.relations, lower.relation)

    def add_relations(
        self,
        total: Float[Tensor, "batch test"],
        found: RowIndex,
        at_projection: Float[Tensor, "batch dim"],
        lower: LowerFactors,
    ) -> None:
        """Add the terms of the relations' rows, in place."""
        if self._relations is not None and found.relations is not None:
            inputs = _inputs(found.relation_rows, lower.relation, at_projection)
            self._relations.add(total, found.relations, inputs)

    def add_tails(self, total: Float[Tensor, "batch test"], found: Meetings, ahead: Forward) -> None:
        """Add the terms of the tails' rows, whose gradients are the outputs x, and of their biases, in place."""
        self._add(total, "tail", found, ahead.x)
        if any(self._of("tail_bias")):
            self._add(total, "tail_bias", found, total.new_ones(1, 1))

    def moved_pairs(self, batch: Batch, arrays: IndexArrays) -> MovedPairs:
        """Find the pairs whose head or relation moves along the test triples' gradients."""
        terms = counted((*OWN_MOVES, *MOVED_EMBEDDINGS), self._tracked)
        return MovedPairs(self._index, batch.host_pairs, terms, arrays)

    def add_own_moves(self, total: Float[Tensor, "some_test pair dim"], moved: MovedPairs, tests: slice) -> None:
        """Add the moves of the regions that see a pair's head or relation alone to its directions, in place."""
        for term in counted(OWN_MOVES, self._tracked):
            moved.add(total, term, self._moves[term.test], tests)

    def _of(self, train: Row) -> Iterator[RowTerm]:
        """Give the terms of one row of each training triple."""
        return (term for term in counted(ROW_TERMS, self._tracked) if term.train == train)

    def _meetings(
        self, train: Row, batch: Batch, arrays: IndexArrays, *, rows: Int[ndarray, " row"] | None = None
    ) -> dict[str, Joined | None]:
        """Find where one row of each triple, or of some, meets those of test triples."""
        ids = batch.ids[:, COLUMN[train]]
        vectors = {"tail": batch.pair_runs.of_row, "tail_bias": np.zeros(len(batch), np.int64)}.get(train)
        return {
            term.name: join(
                self._index[term.test], ids if rows is None else ids[rows], arrays, rows=rows, vector_of_row=vectors
            )
            for term in self._of(train)
        }

    def _grouped(self, batch: Batch, rows: Int[ndarray, " row"], arrays: IndexArrays) -> Grouped | None:
        """Bring the rows of a batch together whose relation is one of a test triple."""
        if self._relations is None or len(rows) == 0:
            return None
        model = self._model
        of = Multiplied(dtype=model.dtype, width=self._width, tiling=model.tiling)
        return group(self._index["relation"], batch.ids[rows, 1], arrays, rows=rows, of=of)

    def _add(self, total: Float[Tensor, "batch test"], train: Row, found: Meetings, vectors: Tensor) -> None:
        """Add the terms of one row of each training triple."""
        for term in self._of(train):
            add_where_equal(total, found[term.name], vectors, self._theirs[train][term.test])


def _inputs(
    rows: IndexArray, lower: Float[Tensor, "row dim"], at_projection: Float[Tensor, "batch dim"]
) -> Float[Tensor, "row two_dims"]:
    """Put both parts of the gradients of some triples' rows side by side."""
    return torch.cat([lower, at_projection[rows.tensor]], dim=1)
