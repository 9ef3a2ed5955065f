"""Gradients at all scores of a loss that is not a `SeparableLoss`, row by row.

The gradient at one score may depend on all other scores and on the tail. Triples of one (head, relation) therefore
share only their forward pass, and the scores of a few rows are held whole instead of in tiles of entities.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.conve.all_scores import AtScores, TileSum
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.forward_pass import Forward
from tracin_dask.influence.losses import AllScoresLoss
from tracin_dask.influence.losses.base import derivative_at_all
from tracin_dask.influence.precision import Precision

HELD = 4
"""Arrays of scores that a loss holds at a time: the scores, their gradients and intermediate values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeReader:
    """Reads any loss of all scores; a `Reader`."""

    shares_pairs: ClassVar[bool] = False
    """Each triple has its own gradients."""
    lower_at_tail: ClassVar[float] = 0.0
    """c is 0: the gradients at the tails are exact."""
    model: FoldedConvE
    loss: AllScoresLoss
    precision: Precision

    def read(self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"], sums: Sequence[TileSum] = ()) -> AtScores:
        """Sum over the gradients at all scores, a few rows at a time."""
        table, every = self.precision.operand(self.model.entities), slice(0, self.model.config.num_entities)
        at_output, totals = [x[:0]], [list[Tensor]() for _ in sums]
        for rows, gradients in self._pieces(x, tails):
            at_output.append(self.precision.product(self.precision.operand(gradients), table))
            for total, of_tile in zip(totals, sums, strict=True):
                total.append(of_tile(x[rows], gradients, every))
        joined = tuple(torch.cat(total) if total else x.new_zeros(0, 1) for total in totals)
        return AtScores(at_output=torch.cat(at_output), sums=joined)

    def gradients(self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"]) -> Float[Tensor, "entity row"]:
        """Give the gradients at all scores, for test triples: they are held whole."""
        whole = x.new_empty(self.model.config.num_entities, len(x))
        for rows, gradients in self._pieces(x, tails):
            whole[:, rows] = gradients.T
        return whole

    def at_heads(
        self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"], heads: Int[Tensor, " row"]
    ) -> Float[Tensor, " row"]:
        """Give each row's gradient at the score of its own head."""
        found = [x[:0, 0]]
        for rows, gradients in self._pieces(x, tails):
            found.append(gradients.gather(1, heads[rows, None])[:, 0])
        return torch.cat(found)

    def at_entities(
        self,
        ahead: Forward,
        scores: Float[Tensor, " batch"],  # noqa: ARG002 - those of all entities are made anyway
        entities: Int[Tensor, " test"],
    ) -> Float[Tensor, "batch test"]:
        """Give each triple's gradient at the scores of some entities."""
        batch, found = ahead.batch, [ahead.x.new_zeros(0, len(entities))]
        for _, gradients in self._pieces(ahead.x.index_select(0, batch.pair), batch.triples[:, 2]):
            found.append(gradients.index_select(1, entities))
        return torch.cat(found)

    def moved_squares(
        self, x: Float[Tensor, "moved dim"], entities: Int[Tensor, "side moved"]
    ) -> Float[Tensor, "side moved"]:
        """Give nothing: every triple has gradients of its own."""
        return x.new_zeros(entities.shape)

    def _pieces(
        self, x: Float[Tensor, "row dim"], tails: Int[Tensor, " row"]
    ) -> Iterator[tuple[slice, Float[Tensor, "some_row entity"]]]:
        """Give the gradients of a few rows at a time."""
        model, outputs = self.model, self.precision.operand(x)
        table = self.precision.operand(model.entities).T
        step = max(1, model.tiling.score_bytes // (HELD * model.config.num_entities * x.element_size()))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            scores = self.precision.product(outputs[rows], table)
            if model.entity_bias is not None:
                scores += model.entity_bias
            yield rows, derivative_at_all(self.loss, scores, tails[rows])
