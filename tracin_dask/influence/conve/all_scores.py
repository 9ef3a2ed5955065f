"""Losses of the scores of all entities: the gradients at these scores, made in tiles and never held whole.

Of a triple i = (h, r, t), g_i = P_q − c·1_t is the gradient at all scores s = E x_q + bias: P_q depends on q = (h, r)
only, and c is how much lower the loss's derivative is at the tail. c is taken off where P is made, at the tail of each
pair's first row, since in a trained model P_q[t] and c cancel; other rows of the pair move it from there to their tail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.id_join import IdVectors
from tracin_dask.influence.losses import SeparableLoss
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tensors import dot_rows

TILE_BYTES = 64 * 2**20
"""Of the scores that are held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtScores:
    """What is needed of the gradients at all scores, of some rows: pairs with the tails of their first triples."""

    at_output: Float[Tensor, "row dim"]
    """Eᵀ g: the loss's gradient at x."""
    sums: tuple[Float[Tensor, "row _"], ...]
    """What was asked to be summed over all scores."""


TileSum = Callable[[Tensor, Tensor, slice], Tensor]
"""A sum over some entities e, of x [row, dim], the gradients [row, e] and the slice of all entities: [row, columns]."""


@runtime_checkable
class Reader(Protocol):
    """A loss of all scores, and the model that gives them: what it tells of the gradients at all scores."""

    @property
    def shares_pairs(self) -> bool:
        """Whether triples of one (head, relation) share these gradients, up to c at their tails."""
        ...

    @property
    def lower_at_tail(self) -> float:
        """c, where triples share their gradients."""
        ...

    @property
    def model(self) -> FoldedConvE:
        """The model."""
        ...

    @property
    def precision(self) -> Precision:
        """How operands of products are rounded."""
        ...

    def read(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"], sums: Sequence[TileSum] = ()) -> AtScores:
        """Go through the gradients at all scores, and add up what is asked."""
        ...

    def gradients(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"]) -> Float[Tensor, "entity row"]:
        """Hold the gradients at all scores: for test triples."""
        ...

    def at_heads(
        self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"], heads: Int[Tensor, " row"]
    ) -> Float[Tensor, " row"]:
        """Give each row's gradient at the score of its own head."""
        ...

    def at_entities(self, ahead: Forward, entities: Int[Tensor, " test"]) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparableReader:
    """A separable loss of all scores, and the model that gives them."""

    shares_pairs: ClassVar[bool] = True
    """Whether triples of one (head, relation) share their gradients at all scores, up to c at the tail."""
    model: FoldedConvE
    loss: SeparableLoss
    precision: Precision

    @property
    def lower_at_tail(self) -> float:
        """c."""
        return self.loss.lower_at_tail(self.model.config.num_entities)

    def read(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"], sums: Sequence[TileSum] = ()) -> AtScores:
        """Go through the gradients at all scores, tile by tile, and add up what is asked."""
        at_output, operand, totals = torch.zeros_like(x), self.precision.operand, [x.new_zeros(()) for _ in sums]
        outputs = operand(x)
        for entities in self.tiles(len(x)):
            table = operand(self.model.entities[entities])
            gradients = self._tile(outputs, table, tails, entities)
            totals = [total + of_tile(x, gradients, entities) for total, of_tile in zip(totals, sums, strict=True)]
            self.precision.add_product(at_output, operand(gradients), table)
        return AtScores(at_output=at_output, sums=tuple(totals))

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
        return lower_where(elsewhere, heads == tails, self.lower_at_tail)

    def at_entities(self, ahead: Forward, entities: Int[Tensor, " test"]) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities."""
        batch = ahead.batch
        gradients = self.elsewhere(ahead.x, entities).index_select(0, batch.pair)
        return lower_where(gradients, batch.triples[:, 2, None] == entities, self.lower_at_tail)

    def elsewhere(self, x: Float[Tensor, "row dim"], entities: Int[Tensor, " entity"]) -> Float[Tensor, "row entity"]:
        """Give P at the scores of some entities."""
        scores = x @ self.model.entities.index_select(0, entities).T
        if self.model.entity_bias is not None:
            scores += self.model.entity_bias[entities]
        return self.loss.derivative_elsewhere(scores, self.model.config.num_entities)

    def tiles(self, num_rows: int) -> list[slice]:
        """Cut the entities so that neither a tile's scores nor its embeddings take more than TILE_BYTES."""
        num_entities, dim = self.model.entities.shape
        step = max(1, TILE_BYTES // (max(dim, num_rows) * self.model.entities.element_size()))
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
        lower_at(gradients, tails, entities, self.lower_at_tail)
        return gradients


def lower_at(
    gradients: Float[Tensor, "row some_entity"], tails: Int[ndarray, " row"], entities: slice, by: float
) -> None:
    """Take c off the gradients of a tile at each row's tail, in place."""
    rows = np.flatnonzero((tails >= entities.start) & (tails < entities.stop))
    place = send(rows, gradients.device), send(tails[rows] - entities.start, gradients.device)
    gradients[place] -= by


def lower_where(
    gradients: Float[Tensor, "*score"], is_tail: Bool[Tensor, "*score"], by: float
) -> Float[Tensor, "*score"]:
    """Take c off the gradients at scores that are the tail's, in place."""
    return gradients.sub_(is_tail.to(gradients.dtype), alpha=by)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterTails:
    """The triples of a batch whose tail is another than that of their pair's first triple."""

    rows: Int[Tensor, " later"]
    tails: Int[Tensor, " later"]
    first_tails: Int[Tensor, " later"]

    def difference(self, table: Float[Tensor, "entity width"]) -> Float[Tensor, "later width"]:
        """Give what a table holds at the tail, less what it holds at the first tail."""
        return table.index_select(0, self.tails).sub_(table.index_select(0, self.first_tails))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSide:
    """The gradients of a batch of training triples."""

    ahead: Forward
    at_pairs: AtScores
    """Those of pairs, each with the tail of its first triple."""
    later: LaterTails
    heads: Float[Tensor, "head_row dim"]
    """Of the heads' embeddings: of all rows if the entity table counts, or of none."""

    def scores(self, reader: Reader, entities: Int[Tensor, " test"]) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities."""
        return reader.at_entities(self.ahead, entities)

    def outputs(self, test: Float[Tensor, "test dim"]) -> Float[Tensor, "batch test"]:
        """Multiply each triple's output x with vectors of test triples."""
        return (self.ahead.x @ test.T).index_select(0, self.ahead.batch.pair)

    @property
    def head_rows(self) -> IdVectors:
        """The heads' gradients by their ids."""
        return IdVectors(ids=self.ahead.batch.ids[:, 0], vectors=self.heads)


def first_tails(batch: Batch) -> Int[ndarray, " pair"]:
    """Give the tail of each pair's first triple."""
    tails: ndarray = batch.ids[batch.pair_runs.starts, 2]
    return tails


def later_tails(batch: Batch) -> LaterTails:
    """Find the triples that do not have the tail of their pair's first."""
    first = first_tails(batch)[batch.pair_runs.of_row]
    rows = np.flatnonzero(batch.ids[:, 2] != first)
    device = batch.triples.device
    return LaterTails(
        rows=send(rows, device), tails=send(batch.ids[rows, 2], device), first_tails=send(first[rows], device)
    )


def at_output(reader: Reader, at_pairs: AtScores, batch: Batch, later: LaterTails) -> Float[Tensor, "batch dim"]:
    """Give each triple's gradient at x from that of its pair."""
    vectors = at_pairs.at_output.index_select(0, batch.pair)
    return vectors.index_add_(0, later.rows, later.difference(reader.model.entities), alpha=-reader.lower_at_tail)
