"""Losses of the scores of all entities: the gradients at these scores, made in tiles and never held whole.

Of a triple i = (h, r, t), g_i = P_q − c·1_t is the gradient at all scores s = E x_q + bias: P_q depends on q = (h, r)
only, and c is how much lower the loss's derivative is at the tail. c is taken off where P is made, at the tail of each
pair's first row, since in a trained model P_q[t] and c cancel; other rows of the pair move it from there to their tail.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.folded import FoldedConvE
from tracin_dask.influence.losses import OneToAll
from tracin_dask.influence.passes import Forward, dot_rows
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.product import (
    ENTITIES,
    ENTITY_BIAS,
    RELATIONS,
    EmbeddingRows,
    IdIndex,
    IdVectors,
    add_where_equal,
)

TILE_BYTES = 64 * 2**20
"""Of the scores that are held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtScores:
    """What is needed of the gradients at all scores, of some rows: pairs with the tails of their first triples."""

    at_output: Float[Tensor, "row dim"]
    """Eᵀ g: the loss's gradient at x."""
    squares: Float[Tensor, " row"]
    """‖g‖²."""
    products: Float[Tensor, "row test"] | None
    """⟨g, g_j⟩ with the test triples' gradients, where these are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A loss of all scores, and the model that gives them."""

    model: FoldedConvE
    loss: OneToAll
    precision: Precision

    @property
    def lower_at_tail(self) -> float:
        """c."""
        return self.loss.lower_at_tail(self.model.config.num_entities)

    def read(
        self,
        x: Float[Tensor, "row dim"],
        tails: Int[ndarray, " row"],
        test_gradients: Float[Tensor, "entity test"] | None = None,
    ) -> AtScores:
        """Go through the gradients at all scores, tile by tile."""
        num_tests = 0 if test_gradients is None else test_gradients.shape[1]
        at_output, products = torch.zeros_like(x), x.new_zeros(len(x), num_tests)
        squares, operand = x.new_zeros(len(x)), self.precision.operand
        outputs = operand(x)
        for entities in self.tiles(len(x)):
            table = operand(self.model.entities[entities])
            gradients = self._tile(outputs, table, tails, entities)
            squares += torch.linalg.vector_norm(gradients, dim=1).square_()
            gradients = operand(gradients)
            self.precision.add_product(at_output, gradients, table)
            if test_gradients is not None:
                self.precision.add_product(products, gradients, operand(test_gradients[entities]))
        return AtScores(at_output=at_output, squares=squares, products=None if test_gradients is None else products)

    def gradients(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"]) -> Float[Tensor, "entity row"]:
        """Hold the gradients at all scores: for test triples."""
        whole = x.new_empty(self.model.config.num_entities, len(x))
        outputs = self.precision.operand(x)
        for entities in self.tiles(len(x)):
            table = self.precision.operand(self.model.entities[entities])
            whole[entities] = self._tile(outputs, table, tails, entities).T
        return whole

    def at_heads(
        self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"], heads: Int[Tensor, " row"]
    ) -> Float[Tensor, " row"]:
        """Give each row's gradient at the score of its own head."""
        scores = dot_rows(x, self.model.entities.index_select(0, heads))
        if self.model.entity_bias is not None:
            scores += self.model.entity_bias[heads]
        elsewhere = self.loss.derivative_elsewhere(scores, self.model.config.num_entities)
        return elsewhere - self.lower_at_tail * (heads == tails)

    def elsewhere(self, x: Float[Tensor, "row dim"], entities: Int[Tensor, " entity"]) -> Float[Tensor, "row entity"]:
        """Give P at the scores of some entities."""
        scores = x @ self.model.entities.index_select(0, entities).T
        if self.model.entity_bias is not None:
            scores += self.model.entity_bias[entities]
        return self.loss.derivative_elsewhere(scores, self.model.config.num_entities)

    def tiles(self, num_rows: int) -> list[slice]:
        """Cut the entities so that a tile's scores take no more than TILE_BYTES."""
        num_entities = self.model.config.num_entities
        step = max(1, TILE_BYTES // (max(1, num_rows) * self.model.entities.element_size()))
        return [slice(start, min(start + step, num_entities)) for start in range(0, num_entities, step)]

    def _tile(
        self,
        outputs: Float[Tensor, "row dim"],
        table: Float[Tensor, "some_entity dim"],
        tails: Int[ndarray, " row"],
        entities: slice,
    ) -> Float[Tensor, "row some_entity"]:
        """Compute the gradients at the scores of some entities, from outputs and their embeddings, both operands."""
        model = self.model
        scores = self.precision.product(outputs, table.T)
        if model.entity_bias is not None:
            scores += model.entity_bias[entities]
        gradients = self.loss.derivative_elsewhere(scores, model.config.num_entities)
        rows = np.flatnonzero((tails >= entities.start) & (tails < entities.stop))
        place = send(rows, model.device), send(tails[rows] - entities.start, model.device)
        gradients[place] -= self.lower_at_tail
        return gradients


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The triples of a batch whose tail is another than that of their pair's first triple."""

    rows: Int[Tensor, " moved"]
    tails: Int[Tensor, " moved"]
    first_tails: Int[Tensor, " moved"]

    def difference(self, table: Float[Tensor, "entity width"]) -> Float[Tensor, "moved width"]:
        """Give what a table holds at the tail, less what it holds at the first tail."""
        return table.index_select(0, self.tails).sub_(table.index_select(0, self.first_tails))


def first_tails(batch: Batch) -> Int[ndarray, " pair"]:
    """Give the tail of each pair's first triple."""
    tails: ndarray = batch.ids[batch.pair_runs.starts, 2]
    return tails


def moved_rows(batch: Batch) -> Moved:
    """Find the triples that do not have the tail of their pair's first."""
    first = first_tails(batch)[batch.pair_runs.of_row]
    rows = np.flatnonzero(batch.ids[:, 2] != first)
    device = batch.triples.device
    return Moved(rows=send(rows, device), tails=send(batch.ids[rows, 2], device), first_tails=send(first[rows], device))


def at_output(reader: Reader, at_pairs: AtScores, batch: Batch, moved: Moved) -> Float[Tensor, "batch dim"]:
    """Give each triple's gradient at x from that of its pair."""
    vectors = at_pairs.at_output.index_select(0, batch.pair)
    return vectors.index_add_(0, moved.rows, moved.difference(reader.model.entities), alpha=-reader.lower_at_tail)


class AllScoresTerms:
    """The terms of the entity table and bias where the loss looks at all scores: no row of theirs has no gradient.

    ⟨g_i, g_j⟩⟨x_i, x_j⟩ + g_i[h_j]⟨x_i, head_j⟩ + g_j[h_i]⟨x_j, head_i⟩ + [h_i = h_j]⟨head_i, head_j⟩, where head is
    the gradient of the head's embedding as an input; and ⟨g_i, g_j⟩ for the bias.
    """

    def __init__(
        self, reader: Reader, tracked: frozenset[str], test: EmbeddingRows, all_scores: Bool[Tensor, " test"]
    ) -> None:
        """Compute the test triples' gradients at all scores, on the device of these rows.

        Those that are not of a loss of `all_scores` are 1 at their own tail's score.
        """
        self.reader = reader
        self._tracked, self._test = tracked & {ENTITIES, ENTITY_BIAS}, test
        heads, _, tails = test.triples.cpu().numpy().T
        self._gradients = None
        if self._tracked and all_scores.all():
            self._gradients = reader.gradients(test.tail, tails)
        elif self._tracked:
            self._gradients = test.tail.new_zeros(reader.model.config.num_entities, len(tails))
            self._gradients.scatter_(0, test.triples[None, :, 2], 1)
        self._heads = IdIndex(heads, reader.model.config.num_entities)

    def read(self, ahead: Forward) -> AtScores:
        """Go through the gradients of a batch's pairs, each with the tail of its first triple."""
        return self.reader.read(ahead.x, first_tails(ahead.batch), self._gradients)

    def add(
        self,
        total: Float[Tensor, "batch test"],
        ahead: Forward,
        at_pairs: AtScores,
        moved: Moved,
        heads: Float[Tensor, "row dim"],
    ) -> None:
        """Add all terms, in place; `heads` are the gradients of the heads' embeddings, of all rows where they count."""
        if at_pairs.products is None or self._gradients is None:
            return
        batch, test, x = ahead.batch, self._test, ahead.x
        products = at_pairs.products.index_select(0, batch.pair)
        products.index_add_(0, moved.rows, moved.difference(self._gradients), alpha=-self.reader.lower_at_tail)
        if ENTITY_BIAS in self._tracked:
            total += products
        if ENTITIES not in self._tracked:
            return
        total.addcmul_(products, (x @ test.tail.T).index_select(0, batch.pair))
        total.addcmul_(self._at_test_heads(ahead), (x @ test.head.T).index_select(0, batch.pair))
        total.addcmul_(heads @ test.tail.T, self._gradients.index_select(0, batch.triples[:, 0]))
        add_where_equal(total, self._heads, IdVectors(ids=batch.ids[:, 0], vectors=heads), test.head)

    def _at_test_heads(self, ahead: Forward) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of the test triples' heads."""
        heads, batch = self._test.triples[:, 0], ahead.batch
        gradients = self.reader.elsewhere(ahead.x, heads).index_select(0, batch.pair)
        return gradients.sub_(self.reader.lower_at_tail * (batch.triples[:, 2, None] == heads))


def all_scores_self_terms(
    tracked: frozenset[str], own: EmbeddingRows, at_scores: AtScores, at_heads: Float[Tensor, " row"]
) -> Float[Tensor, " row"]:
    """Add up the same terms, and that of the relation table, for each triple with itself."""
    total = torch.zeros_like(at_heads)
    if RELATIONS in tracked:
        total += dot_rows(own.relation, own.relation)
    if ENTITY_BIAS in tracked:
        total += at_scores.squares
    if ENTITIES in tracked:
        total += at_scores.squares * dot_rows(own.tail, own.tail)
        total += 2 * at_heads * dot_rows(own.tail, own.head)
        total += dot_rows(own.head, own.head)
    return total
