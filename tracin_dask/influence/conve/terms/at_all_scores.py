"""The terms of the entity table and bias between gradients at all scores on both sides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.all_scores import MovedTails, Reader, TileSum, TrainingSide
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS
from tracin_dask.influence.preconditioners.base import Preconditioner
from tracin_dask.influence.terms import Term, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _TestSide:
    """The test triples' gradients."""

    reader: Reader
    rows: EmbeddingRows
    preconditioner: Preconditioner
    gradients: Float[Tensor, "entity test"]
    """At all scores."""
    along: Float[Tensor, "entity test"]
    """These times P of the bias."""

    def move(
        self, total: Float[Tensor, "batch test"], moved: MovedTails, difference: Float[Tensor, "moved test"]
    ) -> None:
        """Move c from the tail of each row's pair to the row's own, in place."""
        total.index_add_(0, moved.rows, difference, alpha=-self.reader.lower_at_tail)

    def outer(self, x: Float[Tensor, "moved dim"], ids: Int[Tensor, " moved"]) -> Float[Tensor, "moved test"]:
        """Give g_j[e] ⟨x, P_e x_j⟩ for one entity e of each row."""
        along = self.preconditioner.times(ENTITIES, x, ids)
        return (along @ self.rows.tail.T).mul_(self.gradients.index_select(0, ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Met:
    """A batch, and what it shares with the test triples' gradients."""

    train: TrainingSide
    products: Float[Tensor, "batch test"]
    """Σ_e g_i[e] P_e g_j[e], P that of the bias."""


class TermsAtAllScores:
    """The test triples' side of these terms."""

    def __init__(
        self, reader: Reader, tracked: frozenset[str], test: EmbeddingRows, preconditioner: Preconditioner
    ) -> None:
        """Hold the test triples' gradients at all scores."""
        gradients = reader.gradients(test.tail, test.triples[:, 2])
        along = gradients
        if ENTITY_BIAS in tracked and ENTITY_BIAS in preconditioner:
            along = (gradients * preconditioner.diagonal(ENTITY_BIAS)).to(gradients.dtype)
        self._tracked = tracked
        self._side = _TestSide(
            reader=reader, rows=test, preconditioner=preconditioner, gradients=gradients, along=along
        )
        self.sums: tuple[TileSum, ...] = (self._products,)
        if ENTITIES in preconditioner:
            self.sums += (self._outer_products,)

    def add(self, total: Float[Tensor, "batch test"], train: TrainingSide) -> None:
        """Add all terms, in place."""
        side, moved = self._side, train.found.moved
        products = train.found.at_pairs.sums[0].index_select(0, train.ahead.batch.pair)
        side.move(products, moved, moved.difference(side.along))
        met = _Met(train=train, products=products)
        for term in counted(ALL_SCORES_TERMS, self._tracked):
            term.function(total, side, met)

    def _products(
        self, _: Tensor, gradients: Float[Tensor, "row some_entity"], entities: slice
    ) -> Float[Tensor, "row test"]:
        """Sum g[e] P_e g_j[e], P that of the bias."""
        precision = self._side.reader.precision
        return precision.product(precision.operand(gradients), precision.operand(self._side.along[entities]))

    def _outer_products(
        self, x: Float[Tensor, "row dim"], gradients: Float[Tensor, "row some_entity"], entities: slice
    ) -> Float[Tensor, "row test"]:
        """Sum g[e] g_j[e] ⟨x, P_e x_j⟩."""
        side, precision = self._side, self._side.reader.precision
        mine, theirs, tails = precision.operand(gradients), side.gradients[entities], side.rows.tail
        one = x.shape[1] * max(x.shape[0], len(theirs)) * x.element_size()
        step, found = max(1, side.reader.model.tiling.move_bytes // one), []
        for start in range(0, len(tails), step):
            some = slice(start, start + step)
            weights = precision.operand(self._times_gradients(theirs[:, some], tails[some], entities))
            along = precision.product(mine, weights.flatten(start_dim=1)).view(-1, *weights.shape[1:])
            found.append(along.mul_(x[:, None]).sum(dim=2))
        return torch.cat(found, dim=1)

    def _times_gradients(
        self,
        theirs: Float[Tensor, "some_entity some_test"],
        tails: Float[Tensor, "some_test dim"],
        entities: slice,
    ) -> Float[Tensor, "some_entity some_test dim"]:
        """Give g_j[e] P_e x_j."""
        preconditioner = self._side.preconditioner
        if preconditioner.is_diagonal(ENTITIES):
            along = (preconditioner.diagonal(ENTITIES)[entities, None] * tails).to(tails.dtype)
        else:
            along = (tails.double() @ preconditioner.matrices(ENTITIES)[entities]).to(tails.dtype)
        return along.mul_(theirs[:, :, None])


def _entity_bias(total: Float[Tensor, "batch test"], _: _TestSide, met: _Met) -> None:
    total += met.products


def _scores_meet_scores(total: Float[Tensor, "batch test"], side: _TestSide, met: _Met) -> None:
    train = met.train
    if ENTITIES in side.preconditioner:
        total += train.found.at_pairs.sums[1].index_select(0, train.ahead.batch.pair)
    else:
        total.addcmul_(met.products, train.outputs(side.rows.tail))


def _moved_tails_through_preconditioner(total: Float[Tensor, "batch test"], side: _TestSide, met: _Met) -> None:
    if ENTITIES in side.preconditioner:
        moved = met.train.found.moved
        x = met.train.ahead.x.index_select(0, moved.pairs)
        side.move(total, moved, side.outer(x, moved.tails) - side.outer(x, moved.pair_tails))


def _heads_meet_scores(total: Float[Tensor, "batch test"], side: _TestSide, met: _Met) -> None:
    ids = met.train.ahead.batch.triples[:, 0]
    heads = side.preconditioner.times(ENTITIES, met.train.heads, ids)
    total.addcmul_(heads @ side.rows.tail.T, side.gradients.index_select(0, ids))


AddAllScores: TypeAlias = Callable[[Tensor, _TestSide, _Met], None]
ALL_SCORES_TERMS: tuple[Term[AddAllScores], ...] = (
    Term(name="entity bias", tensors={ENTITY_BIAS}, function=_entity_bias),
    Term(name="scores meet test scores", tensors={ENTITIES}, function=_scores_meet_scores),
    Term(name="moved tails through P", tensors={ENTITIES}, function=_moved_tails_through_preconditioner),
    Term(name="heads meet test scores", tensors={ENTITIES}, function=_heads_meet_scores),
)
