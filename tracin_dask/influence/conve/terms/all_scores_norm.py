"""The terms of the embedding tables in the squared norm of a gradient under a loss of all scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.all_scores import PairGradients, Reader, TileSum
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.conve.gradient_factors import EmbeddingRows
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, RELATIONS
from tracin_dask.influence.preconditioners.base import Preconditioner
from tracin_dask.influence.tensors import add_up, dot_rows
from tracin_dask.influence.terms import Term, counted
from tracin_dask.influence.tiling import tiling_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """Gradients of some triples, and P times these."""

    rows: EmbeddingRows
    along: EmbeddingRows
    squares: Float[Tensor, " row"]
    """Σ_e P_e g[e]², P that of the bias."""
    outer_squares: Float[Tensor, " row"]
    """Σ_e g[e]² ⟨x, P_e x⟩, P that of the table."""
    at_heads: Float[Tensor, " row"]
    """g at the head."""


Square: TypeAlias = Callable[[_Own], Tensor]
ALL_SCORES_SQUARES: tuple[Term[Square], ...] = (
    Term(
        name="relation row",
        tensors={RELATIONS},
        function=lambda own: dot_rows(own.rows.relation, own.along.relation),
    ),
    Term(name="entity bias", tensors={ENTITY_BIAS}, function=lambda own: own.squares),
    Term(name="entity rows at their scores", tensors={ENTITIES}, function=lambda own: own.outer_squares),
    Term(
        name="head row at its score and as an input",
        tensors={ENTITIES},
        function=lambda own: 2 * own.at_heads * dot_rows(own.rows.tail, own.along.head),
    ),
    Term(name="head row as an input", tensors={ENTITIES}, function=lambda own: dot_rows(own.rows.head, own.along.head)),
)


class AllScoresNorm:
    """The sum of these terms, and the sums over all scores that it needs."""

    def __init__(self, tracked: frozenset[str], preconditioner: Preconditioner) -> None:
        """Choose the sums by the tracked tensors that have a P."""
        self._tracked, self._preconditioner = tracked, preconditioner
        self.sums: tuple[TileSum, ...] = (self._squares,)
        if ENTITIES in preconditioner:
            self.sums += (self._outer_squares,)

    def total(
        self,
        rows: EmbeddingRows,
        along: EmbeddingRows,
        sums: Sequence[Float[Tensor, "row 1"]],
        at_heads: Float[Tensor, " row"],
    ) -> Float[Tensor, " row"]:
        """Add up the terms from each gradient and P times it; `at_heads` are the gradients at the heads' scores."""
        squares, *outer = (found[:, 0] for found in sums)
        outer_squares = outer[0] if outer else squares * dot_rows(rows.tail, rows.tail)
        own = _Own(rows=rows, along=along, squares=squares, outer_squares=outer_squares, at_heads=at_heads)
        return add_up((term.function(own) for term in counted(ALL_SCORES_SQUARES, self._tracked)), at_heads)

    def of_rows(
        self, reader: Reader, ahead: Forward, found: PairGradients, sums: Sequence[Float[Tensor, "pair 1"]]
    ) -> tuple[Float[Tensor, "row 1"], ...]:
        """Give these sums for each triple of a batch, from those for its pairs.

        What a triple takes from the sum is at its own score, and it adds at least as much at its pair's highest one:
        nothing cancels.
        """
        pair, moved = ahead.batch.pair, found.moved
        rows = tuple(one.index_select(0, pair) for one in sums)
        x = ahead.x.index_select(0, moved.pairs)
        entities = torch.stack([moved.tails, moved.pair_tails])
        changes = reader.moved_squares(x, entities)
        for one, weights in zip(rows, self._weights(x, entities), strict=True):
            at_tails, at_pair_tails = changes if weights is None else changes * weights
            one.index_add_(0, moved.rows, (at_pair_tails - at_tails).to(one.dtype)[:, None])
        return rows

    def _weights(
        self, x: Float[Tensor, "moved dim"], entities: Int[Tensor, "side moved"]
    ) -> Iterator[Float[Tensor, "side moved"] | None]:
        """Give what the sums multiply g[e]² with at some entities e; None is 1."""
        preconditioner = self._preconditioner
        yield preconditioner.diagonal(ENTITY_BIAS)[entities, 0] if ENTITY_BIAS in preconditioner else None
        if ENTITIES in preconditioner:
            both = torch.cat([x, x])
            yield dot_rows(both, preconditioner.times(ENTITIES, both, entities.flatten())).view(entities.shape)

    def _squares(self, _: Tensor, gradients: Float[Tensor, "row some_entity"], entities: slice) -> Tensor:
        """Sum P_e g[e]², P that of the bias."""
        if ENTITY_BIAS in self._preconditioner:
            return _weighted(gradients.square(), self._preconditioner.diagonal(ENTITY_BIAS)[entities])
        norms: Tensor = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
        return norms.square_()

    def _outer_squares(self, x: Float[Tensor, "row dim"], gradients: Tensor, entities: slice) -> Float[Tensor, "row 1"]:
        """Sum g[e]² ⟨x, P_e x⟩."""
        if not self._preconditioner.is_diagonal(ENTITIES):
            return self._through_matrices(x, gradients.square(), entities)
        along = _weighted(gradients.square(), self._preconditioner.diagonal(ENTITIES)[entities])
        return dot_rows(along, x.square())[:, None]

    def _through_matrices(
        self, x: Float[Tensor, "row dim"], squares: Float[Tensor, "row some_entity"], entities: slice
    ) -> Float[Tensor, "row 1"]:
        """Do the same where P_e is a matrix: ⟨x, (Σ_e g[e]² P_e) x⟩, some rows at a time."""
        matrices = self._preconditioner.matrices(ENTITIES)[entities].flatten(start_dim=1)
        step = max(1, tiling_of(x.device).move_bytes // (matrices.shape[1] * matrices.element_size()))
        found = []
        for some, weights in zip(torch.split(x.double(), step), torch.split(squares.double(), step), strict=True):
            summed = (weights @ matrices).view(-1, x.shape[1], x.shape[1])
            found.append(torch.bmm(torch.bmm(some[:, None], summed), some[:, :, None])[:, 0])
        return torch.cat(found).to(x.dtype)


def _weighted(
    squares: Float[Tensor, "row some_entity"], diagonal: Float[Tensor, "some_entity width"]
) -> Float[Tensor, "row width"]:
    """Sum squares with the numbers of a diagonal P, which can be of a wider type."""
    return (squares.to(diagonal.dtype) @ diagonal).to(squares.dtype)
