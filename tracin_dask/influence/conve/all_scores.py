"""Losses that read the scores of all entities: the gradients at these scores, and how triples of one pair share them.

For a triple i = (h, r, t), g_i = P_q − c·1_t is the gradient at all scores s = E x_q + bias: P_q depends on q = (h, r)
only, and c is how much lower the loss's derivative is at the tail. c is subtracted where P is made, at the tail of
each pair's first row, because P_q[t] and c cancel in a trained model; other rows of the pair move it to their own tail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, send
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.id_join import IdVectors
from tracin_dask.influence.precision import Precision

TILE_BYTES = 64 * 2**20
"""Bytes of the scores that are held at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtScores:
    """Sums over the gradients at all scores, for some rows: pairs with the tails of their first triples."""

    at_output: Float[Tensor, "row dim"]
    """Eᵀ g: the loss's gradient at x."""
    sums: tuple[Float[Tensor, "row _"], ...]
    """The sums over all scores that the caller asked for."""


TileSum = Callable[[Tensor, Tensor, slice], Tensor]
"""A sum over some entities e, of x [row, dim], the gradients [row, e] and the slice of all entities: [row, columns]."""


@runtime_checkable
class Reader(Protocol):
    """Computes the gradients at all scores of one loss and one model."""

    @property
    def shares_pairs(self) -> bool:
        """Whether triples of one (head, relation) share these gradients, except for c at their tails."""
        ...

    @property
    def lower_at_tail(self) -> float:
        """c, where triples of one pair share their gradients."""
        ...

    @property
    def model(self) -> FoldedConvE:
        """The model."""
        ...

    @property
    def precision(self) -> Precision:
        """How the operands of products are rounded."""
        ...

    def read(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"], sums: Sequence[TileSum] = ()) -> AtScores:
        """Sum over the gradients at all scores."""
        ...

    def gradients(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"]) -> Float[Tensor, "entity row"]:
        """Give the gradients at all scores, for test triples: they are held whole."""
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
class LaterTails:
    """The triples of a batch whose tail differs from that of their pair's first triple."""

    rows: Int[Tensor, " later"]
    tails: Int[Tensor, " later"]
    first_tails: Int[Tensor, " later"]

    def difference(self, table: Float[Tensor, "entity width"]) -> Float[Tensor, "later width"]:
        """Give the rows of a table at the tails, minus those at the first tails."""
        return table.index_select(0, self.tails).sub_(table.index_select(0, self.first_tails))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSide:
    """The gradients of a batch of training triples."""

    ahead: Forward
    at_pairs: AtScores
    """Sums for the pairs, each with the tail of its first triple."""
    later: LaterTails
    heads: Float[Tensor, "head_row dim"]
    """Gradients of the heads' embeddings as inputs: of all rows if the entity table is tracked, else of none."""

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
    """Find the triples whose tail differs from that of their pair's first triple."""
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
