"""Gradients at all scores of a `SeparableLoss`, in tiles of entities that are never held together.

The derivative by a score depends on that score alone, and on whether it is the tail's: see `all_scores`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracin_dask.influence.conve.all_scores import AtScores, TileSum
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.losses import SeparableLoss
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tensors import dot_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparableReader:
    """Reads a `SeparableLoss`; a `Reader`."""

    shares_pairs: ClassVar[bool] = True
    """Triples of one (head, relation) share their gradients at all scores, except for c at the tail."""
    model: FoldedConvE
    loss: SeparableLoss
    precision: Precision

    @property
    def lower_at_tail(self) -> float:
        """c, of the loss."""
        return self.loss.lower_at_tail(self.model.config.num_entities)

    def read(self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"], sums: Sequence[TileSum] = ()) -> AtScores:
        """Sum over the gradients at all scores, tile by tile."""
        at_output, operand, totals = torch.zeros_like(x), self.precision.operand, list[Tensor]()
        outputs = operand(x)
        for entities in self.tiles(len(x)):
            table = operand(self.model.entities[entities])
            gradients = self._tile(outputs, table, tails, entities)
            found = [of_tile(x, gradients, entities) for of_tile in sums]
            totals = [total + one for total, one in zip(totals, found, strict=True)] if totals else found
            self.precision.add_product(at_output, operand(gradients), table)
            del gradients  # before the next ones are made
        return AtScores(at_output=at_output, sums=tuple(totals))

    def gradients(self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"]) -> Float[Tensor, "entity row"]:
        """Give the gradients at all scores, for test triples: they are held whole."""
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
        of_heads, number = dot_rows(x, self.model.entities.index_select(0, heads)), self.model.config.num_entities
        if self.model.entity_bias is not None:
            of_heads += self.model.entity_bias[heads]
        at_tail = self.loss.derivative_at_tail(of_heads.clone(), number)
        return put_where(self.loss.derivative_elsewhere(of_heads, number), heads == tails, at_tail)

    def at_entities(
        self, ahead: Forward, scores: Float[Tensor, " batch"], entities: Int[Tensor, " test"]
    ) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities."""
        tails = ahead.batch.triples[:, 2]
        at_tail = self.loss.derivative_at_tail(scores.clone(), self.model.config.num_entities)
        gradients = self.elsewhere(ahead.x, entities).index_select(0, ahead.batch.pair)
        return put_where(gradients, tails[:, None] == entities, at_tail[:, None])

    def moved_squares(
        self, x: Float[Tensor, "moved dim"], entities: Int[Tensor, "side moved"]
    ) -> Float[Tensor, "side moved"]:
        """Give P[e]² − (P[e] − c)² = c (2 P[e] − c)."""
        rows = self.model.entities.index_select(0, entities.flatten()).view(*entities.shape, x.shape[1])
        found = rows.mul_(x).sum(dim=2)
        if self.model.entity_bias is not None:
            found += self.model.entity_bias[entities]
        gradients, lower = self.loss.derivative_elsewhere(found, self.model.config.num_entities), self.lower_at_tail
        return gradients.mul_(2 * lower).sub_(lower**2)

    def elsewhere(self, x: Float[Tensor, "row dim"], entities: Int[Tensor, " entity"]) -> Float[Tensor, "row entity"]:
        """Give P at the scores of some entities."""
        found = x @ self.model.entities.index_select(0, entities).T
        if self.model.entity_bias is not None:
            found += self.model.entity_bias[entities]
        return self.loss.derivative_elsewhere(found, self.model.config.num_entities)

    def tiles(self, num_rows: int) -> list[slice]:
        """Cut the entities so that neither a tile's scores nor its embeddings take more than a tile may."""
        num_entities, dim = self.model.entities.shape
        step = max(1, self.model.tiling.score_bytes // (max(dim, num_rows) * self.model.entities.element_size()))
        return [slice(start, min(start + step, num_entities)) for start in range(0, num_entities, step)]

    def _tile(
        self,
        outputs: Float[Tensor, "row dim"],
        table: Float[Tensor, "some_entity dim"],
        tails: Int[Tensor, " row"],
        entities: slice,
    ) -> Float[Tensor, "row some_entity"]:
        """Compute the gradients at the scores of some entities, from outputs and their embeddings, both operands."""
        model, number = self.model, self.model.config.num_entities
        found = self.precision.product(outputs, table.T)
        if model.entity_bias is not None:
            found += model.entity_bias[entities]
        place = tails[:, None] - entities.start  # outside of the tile where the tail is
        column = place.clamp(0, found.shape[1] - 1)
        at_tail = self.loss.derivative_at_tail(found.gather(1, column), number)
        gradients = self.loss.derivative_elsewhere(found, number)
        put_at_tails(gradients, column, place == column, at_tail)
        return gradients


def put_at_tails(
    gradients: Float[Tensor, "row some_entity"],
    column: Int[Tensor, "row 1"],
    is_here: Bool[Tensor, "row 1"],
    at_tail: Float[Tensor, "row 1"],
) -> None:
    """Put the gradients at the tails in a tile that has them, in place."""
    gradients.scatter_(1, column, put_where(gradients.gather(1, column), is_here, at_tail))


def put_where(
    gradients: Float[Tensor, "row *score"], is_tail: Bool[Tensor, "row *score"], at_tail: Float[Tensor, "row *any"]
) -> Float[Tensor, "row *score"]:
    """Put the gradients at the tails where a score is that of the tail."""
    return torch.where(is_tail, at_tail, gradients)
