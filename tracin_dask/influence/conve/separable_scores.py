"""Gradients at all scores of a `SeparableLoss`, in tiles of entities that are never held together.

The derivative by a score depends on that score alone, except that it is lower by c at the tail: see `all_scores`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.conve.all_scores import TILE_BYTES, AtScores, TileSum
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

    def read(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"], sums: Sequence[TileSum] = ()) -> AtScores:
        """Sum over the gradients at all scores, tile by tile."""
        at_output, operand, totals = torch.zeros_like(x), self.precision.operand, [x.new_zeros(()) for _ in sums]
        outputs = operand(x)
        for entities in self.tiles(len(x)):
            table = operand(self.model.entities[entities])
            gradients = self._tile(outputs, table, tails, entities)
            totals = [total + of_tile(x, gradients, entities) for total, of_tile in zip(totals, sums, strict=True)]
            self.precision.add_product(at_output, operand(gradients), table)
        return AtScores(at_output=at_output, sums=tuple(totals))

    def gradients(self, x: Float[Tensor, "row dim"], tails: Int[ndarray, " row"]) -> Float[Tensor, "entity row"]:
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
