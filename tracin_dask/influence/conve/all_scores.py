"""Losses that read the scores of all entities: the gradients at these scores, and how triples of one pair share them.

For a triple i = (h, r, t), g_i = P_q − c·1_t is the gradient at all scores s = E x_q + bias: P_q depends on q = (h, r)
only, and c is how much lower the loss's derivative is at the tail. P_q[t] and c cancel in a trained model. So P is made
with the derivative at the tail itself, at the pair's tail of the highest score; triples of other tails move c to their
own. What cancels there is small beside their gradient at the highest score, where they are wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.id_join import Joined
from tracin_dask.influence.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class AtScores:
    """Sums over the gradients at all scores, for some rows: pairs, each with one of its tails."""

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

    def read(self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"], sums: Sequence[TileSum] = ()) -> AtScores:
        """Sum over the gradients at all scores."""
        ...

    def gradients(self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"]) -> Float[Tensor, "entity row"]:
        """Give the gradients at all scores, for test triples: they are held whole."""
        ...

    def at_heads(
        self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"], heads: Int[Tensor, " row"]
    ) -> Float[Tensor, " row"]:
        """Give each row's gradient at the score of its own head."""
        ...

    def at_entities(
        self, ahead: Forward, scores: Float[Tensor, " batch"], entities: Int[Tensor, " test"]
    ) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities; `scores` are the triples' own."""
        ...

    def moved_squares(
        self, x: Float[Tensor, "moved dim"], entities: Int[Tensor, "side moved"]
    ) -> Float[Tensor, "side moved"]:
        """Give by how much g[e]² grows where c leaves the score of an entity e; it falls as much where c comes to e.

        There are none where triples of one pair do not share gradients.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedTails:
    """The triples of pairs with several tails: each moves c from the tail of its pair to its own."""

    rows: Int[Tensor, " moved"]
    pairs: Int[Tensor, " moved"]
    tails: Int[Tensor, " moved"]
    pair_tails: Int[Tensor, " moved"]

    def difference(self, table: Float[Tensor, "entity width"]) -> Float[Tensor, "moved width"]:
        """Give the rows of a table at the tails, minus those at the pairs' tails; 0 where these are the same."""
        return table.index_select(0, self.tails).sub_(table.index_select(0, self.pair_tails))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsMeet:
    """Where the heads of a batch meet the heads and the tails of test triples; None where no term asks."""

    heads: Joined | None
    tails: Joined | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairGradients:
    """The gradients at all scores of a batch: sums for its pairs, and what its triples change."""

    own_scores: Float[Tensor, " batch"]
    at_pairs: AtScores
    """Sums for the pairs, each with its tail of the highest score."""
    moved: MovedTails

    def at_output(self, reader: Reader, batch: Batch) -> Float[Tensor, "batch dim"]:
        """Give each triple's gradient at x from that of its pair."""
        vectors = self.at_pairs.at_output.index_select(0, batch.pair)
        moves = self.moved.difference(reader.model.entities)
        return vectors.index_add_(0, self.moved.rows, moves, alpha=-reader.lower_at_tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSide:
    """The gradients of a batch of training triples."""

    ahead: Forward
    found: PairGradients
    heads: Float[Tensor, "head_row dim"]
    """Gradients of the heads' embeddings as inputs: of all rows if the entity table is tracked, else of none."""
    meets: tuple[HeadsMeet, ...]
    """Where the heads meet test triples, for each kind of these."""

    def scores(self, reader: Reader, entities: Int[Tensor, " test"]) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities."""
        return reader.at_entities(self.ahead, self.found.own_scores, entities)

    def outputs(self, test: Float[Tensor, "test dim"]) -> Float[Tensor, "batch test"]:
        """Multiply each triple's output x with vectors of test triples."""
        return (self.ahead.x @ test.T).index_select(0, self.ahead.batch.pair)


def pair_gradients(
    reader: Reader,
    ahead: Forward,
    scores: Float[Tensor, " batch"],
    moved: Int[Tensor, " moved"],
    sums: Sequence[TileSum],
) -> PairGradients:
    """Sum over the gradients at all scores of a batch's pairs, from the triples' own scores and `moved_rows`."""
    batch = ahead.batch
    pair_tails = highest_tails(scores, batch)
    return PairGradients(
        own_scores=scores,
        at_pairs=reader.read(ahead.x, pair_tails, sums),
        moved=moved_tails(batch, moved, pair_tails),
    )


def highest_tails(scores: Float[Tensor, " batch"], batch: Batch) -> Int[Tensor, " pair"]:
    """Give each pair's tail of the highest score, of ties the first; the device is not waited for."""
    num_pairs, every = len(batch.pairs), torch.arange(len(batch), device=scores.device)
    highest = scores.new_full((num_pairs,), -torch.inf).scatter_reduce_(0, batch.pair, scores, "amax")
    is_lower = scores < highest.index_select(0, batch.pair)  # a NaN is not lower: it is refused later, with its triple
    first = every.new_full((num_pairs,), len(batch))
    first.scatter_reduce_(0, batch.pair, every.masked_fill(is_lower, len(batch)), "amin")
    return batch.triples[:, 2].index_select(0, first)


def moved_rows(batch: Batch) -> Int[ndarray, " moved"]:
    """List the triples whose pair has several tails."""
    pairs, tails = batch.pair_runs, batch.ids[:, 2]
    differs = (tails != tails[pairs.starts][pairs.of_row]).astype(np.int64)
    has_several = np.bincount(pairs.of_row, weights=differs, minlength=len(pairs.starts)) > 0
    return np.flatnonzero(has_several[pairs.of_row])


def moved_tails(batch: Batch, rows: Int[Tensor, " moved"], pair_tails: Int[Tensor, " pair"]) -> MovedTails:
    """Give the tails of the triples whose pair has several."""
    pairs = batch.pair.index_select(0, rows)
    return MovedTails(
        rows=rows,
        pairs=pairs,
        tails=batch.triples[:, 2].index_select(0, rows),
        pair_tails=pair_tails.index_select(0, pairs),
    )
