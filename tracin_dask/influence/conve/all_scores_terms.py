"""The terms of the entity table and bias where the loss looks at all scores: no row of theirs has no gradient.

With g the gradient at all scores, head that of the head's embedding as an input, and P_e the preconditioner of the
row e, which multiplies elementwise:

    Σ_e g_i[e] g_j[e] ⟨x_i, P_e x_j⟩ + g_i[h_j] ⟨x_i, P head_j⟩ + g_j[h_i] ⟨P head_i, x_j⟩
        + [h_i = h_j] ⟨head_i, P head_j⟩

for the table, and Σ_e g_i[e] P_e g_j[e] for the bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.all_scores import AtScores, Moved, Reader, TileSum, first_tails
from tracin_dask.influence.conve.forward_backward import Forward
from tracin_dask.influence.conve.pair_product import ENTITIES, ENTITY_BIAS, RELATIONS, EmbeddingRows
from tracin_dask.influence.id_join import IdIndex, IdVectors, add_where_equal
from tracin_dask.influence.preconditioners.diagonal import Preconditioner
from tracin_dask.influence.tensors import dot_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSide:
    """The gradients of a batch of training triples."""

    ahead: Forward
    at_pairs: AtScores
    """Those of pairs, each with the tail of its first triple."""
    moved: Moved
    heads: Float[Tensor, "head_row dim"]
    """Of the heads' embeddings: of all rows if the entity table counts, or of none."""

    def scores(self, reader: Reader, entities: Int[Tensor, " test"]) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities."""
        batch = self.ahead.batch
        gradients = reader.elsewhere(self.ahead.x, entities).index_select(0, batch.pair)
        at_tail = (batch.triples[:, 2, None] == entities).to(gradients.dtype)
        return gradients.sub_(at_tail, alpha=reader.lower_at_tail)

    def outputs(self, test: Float[Tensor, "test dim"]) -> Float[Tensor, "batch test"]:
        """Multiply each triple's output x with vectors of test triples."""
        return (self.ahead.x @ test.T).index_select(0, self.ahead.batch.pair)

    @property
    def head_rows(self) -> IdVectors:
        """The heads' gradients by their ids."""
        return IdVectors(ids=self.ahead.batch.ids[:, 0], vectors=self.heads)


class _Scores(Protocol):
    """The terms that depend on what the test triples' gradients are at the scores."""

    @property
    def sums(self) -> Sequence[TileSum]:
        """What they need of the gradients of pairs."""
        ...

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        """Add them, in place."""
        ...


class AllScoresTerms:
    """The test triples' side of these terms."""

    def __init__(
        self,
        reader: Reader,
        tracked: frozenset[str],
        test: EmbeddingRows,
        preconditioner: Preconditioner,
        *,
        all_scores: bool,
    ) -> None:
        """Take the gradients of the test triples' rows, on the device of the model.

        `all_scores` tells whether these are of a loss of all scores, too, or 1 at their own tail's score.
        """
        self.reader = reader
        self._tracked, self._along = tracked & {ENTITIES, ENTITY_BIAS}, preconditioner.times_rows(test)
        self._heads = IdIndex(test.triples[:, 0].cpu().numpy(), reader.model.config.num_entities)
        self._scores: _Scores | None = None
        if self._tracked and all_scores:
            self._scores = _OfAllScores(reader, self._tracked, test, preconditioner)
        elif self._tracked:
            self._scores = _OfOwnScores(reader, self._tracked, self._along)

    def read(self, ahead: Forward) -> AtScores:
        """Go through the gradients of a batch's pairs, each with the tail of its first triple."""
        return self.reader.read(ahead.x, first_tails(ahead.batch), () if self._scores is None else self._scores.sums)

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        """Add all terms, in place."""
        if self._scores is not None:
            self._scores.add(total, train)
        if ENTITIES in self._tracked:
            along = self._along
            total.addcmul_(train.scores(self.reader, along.triples[:, 0]), train.outputs(along.head))
            add_where_equal(total, self._heads, train.head_rows, along.head)


class _OfOwnScores:
    """Where the test triples' gradients are 1 at their own tail's score, and 0 elsewhere."""

    sums: tuple[TileSum, ...] = ()

    def __init__(self, reader: Reader, tracked: frozenset[str], along: EmbeddingRows) -> None:
        self._reader, self._tracked, self._along = reader, tracked, along
        self._tails = IdIndex(along.triples[:, 2].cpu().numpy(), reader.model.config.num_entities)

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        along = self._along
        at_tails = train.scores(self._reader, along.triples[:, 2])
        if ENTITY_BIAS in self._tracked:
            total.addcmul_(at_tails, along.tail_bias)
        if ENTITIES in self._tracked:
            total.addcmul_(at_tails, train.outputs(along.tail))
            add_where_equal(total, self._tails, train.head_rows, along.tail)


class _OfAllScores:
    """Where the test triples' gradients at all scores are held: [entity, test]."""

    def __init__(
        self, reader: Reader, tracked: frozenset[str], test: EmbeddingRows, preconditioner: Preconditioner
    ) -> None:
        self._reader, self._tracked, self._test, self._preconditioner = reader, tracked, test, preconditioner
        self._gradients = reader.gradients(test.tail, test.triples[:, 2].cpu().numpy())
        self._along = self._gradients
        if ENTITY_BIAS in tracked:
            self._along = preconditioner.times(ENTITY_BIAS, self._gradients)
        self.sums: tuple[TileSum, ...] = (self._products,)
        if ENTITIES in preconditioner:
            self.sums += (self._outer_products,)

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        moved, pair = train.moved, train.ahead.batch.pair
        products = train.at_pairs.sums[0].index_select(0, pair)
        self._move(products, moved, moved.difference(self._along))
        if ENTITY_BIAS in self._tracked:
            total += products
        if ENTITIES not in self._tracked:
            return
        if ENTITIES in self._preconditioner:
            total += train.at_pairs.sums[1].index_select(0, pair)
            x = train.ahead.x.index_select(0, pair.index_select(0, moved.rows))
            self._move(total, moved, self._outer(x, moved.tails) - self._outer(x, moved.first_tails))
        else:
            total.addcmul_(products, train.outputs(self._test.tail))
        ids = train.ahead.batch.triples[:, 0]
        heads = self._preconditioner.times(ENTITIES, train.heads, ids)
        total.addcmul_(heads @ self._test.tail.T, self._gradients.index_select(0, ids))

    def _move(self, total: Tensor, moved: Moved, difference: Float[Tensor, "moved test"]) -> None:
        """Move c from the first tail of each row's pair to the row's own."""
        total.index_add_(0, moved.rows, difference, alpha=-self._reader.lower_at_tail)

    def _products(
        self, _: Tensor, gradients: Float[Tensor, "row some_entity"], entities: slice
    ) -> Float[Tensor, "row test"]:
        """Sum g[e] P_e g_j[e], P that of the bias."""
        precision = self._reader.precision
        return precision.product(precision.operand(gradients), precision.operand(self._along[entities]))

    def _outer_products(
        self, x: Float[Tensor, "row dim"], gradients: Float[Tensor, "row some_entity"], entities: slice
    ) -> Float[Tensor, "row test"]:
        """Sum g[e] g_j[e] ⟨x, P_e x_j⟩."""
        precision, mine = self._reader.precision, self._reader.precision.operand(gradients)
        scale, theirs = self._preconditioner.scales[ENTITIES][entities], self._gradients[entities]
        found = x.new_empty(len(x), len(self._test.tail))
        for test, tail in enumerate(self._test.tail):
            along = precision.product(mine, precision.operand(scale * theirs[:, test, None]))
            found[:, test] = along.mul_(x) @ tail
        return found

    def _outer(self, x: Float[Tensor, "moved dim"], ids: Int[Tensor, " moved"]) -> Float[Tensor, "moved test"]:
        """Give g_j[e] ⟨x, P_e x_j⟩ for one entity e of each row."""
        along = self._preconditioner.times(ENTITIES, x, ids)
        return (along @ self._test.tail.T).mul_(self._gradients.index_select(0, ids))


class AllScoresSelfTerms:
    """The same terms of each triple with itself, and that of the relation table."""

    def __init__(self, tracked: frozenset[str], preconditioner: Preconditioner) -> None:
        """Take what counts."""
        self._tracked, self._preconditioner = tracked, preconditioner
        self.sums: tuple[TileSum, ...] = (self._squares,)
        if ENTITIES in preconditioner:
            self.sums += (self._outer_squares,)

    def total(
        self, own: EmbeddingRows, along: EmbeddingRows, at_scores: AtScores, at_heads: Float[Tensor, " row"]
    ) -> Float[Tensor, " row"]:
        """Add up all of a triple's gradient and P times that; `at_heads` are those at the scores of the heads."""
        tracked, squares = self._tracked, at_scores.sums[0][:, 0]
        total = torch.zeros_like(at_heads)
        if RELATIONS in tracked:
            total += dot_rows(own.relation, along.relation)
        if ENTITY_BIAS in tracked:
            total += squares
        if ENTITIES in tracked:
            total += at_scores.sums[1][:, 0] if len(self.sums) == 2 else squares * dot_rows(own.tail, own.tail)
            total += 2 * at_heads * dot_rows(own.tail, along.head)
            total += dot_rows(own.head, along.head)
        return total

    def _squares(self, _: Tensor, gradients: Float[Tensor, "row some_entity"], entities: slice) -> Tensor:
        """Sum P_e g[e]², P that of the bias."""
        if ENTITY_BIAS in self._preconditioner:
            return gradients.square() @ self._preconditioner.scales[ENTITY_BIAS][entities]
        norms: Tensor = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
        return norms.square_()

    def _outer_squares(self, x: Float[Tensor, "row dim"], gradients: Tensor, entities: slice) -> Float[Tensor, "row 1"]:
        """Sum g[e]² ⟨x, P_e x⟩."""
        along = gradients.square() @ self._preconditioner.scales[ENTITIES][entities]
        return dot_rows(along, x.square())[:, None]
