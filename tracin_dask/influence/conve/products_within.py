"""Products of the gradients of several triples of one relation with each other, such as a triple and corrupted ones."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import index_batch, send
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.forward_backward import scores
from tracin_dask.influence.conve.gradient_factors import output_factors
from tracin_dask.influence.conve.pair_product import (
    ENTITIES,
    ENTITY_BIAS,
    FC_WEIGHT,
    RELATIONS,
    EmbeddingRows,
    linear_factors,
)
from tracin_dask.influence.id_join import products_where_equal


def products_within(
    engine: PairEngine, ids: Int[ndarray, "triple gradient 3"]
) -> tuple[Float[Tensor, "triple gradient"], Float[Tensor, "triple gradient gradient"]]:
    """Give the scores of several triples of one relation each, and multiply their gradients with each other."""
    together = _Together(engine, ids)
    return together.scores, together.products()


class _Together:
    """The gradients of the scores of several triples of each of some triples, computed as one batch."""

    def __init__(self, engine: PairEngine, ids: Int[ndarray, "triple gradient 3"]) -> None:
        """Sort what is computed, so that equal (head, relation) share their forward pass."""
        self._engine, self._tracked, self._ids = engine, engine.tracked, ids
        flat = ids.reshape(-1, 3)
        order = np.lexsort(flat.T[::-1])
        self._place = send(np.argsort(order), engine.model.device)
        self._ahead = engine.ahead(index_batch(flat[order], engine.model.device))
        tails = engine.model.entities[self._ahead.batch.triples[:, 2]]
        self._output = output_factors(engine.model, self._ahead, tails)
        self.scores = self._sorted_back(scores(engine.model, self._ahead, tails)[:, None])[:, :, 0]

    def products(self) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply the gradients of the scores of each triple with each other, the preconditioner between them."""
        engine, output, tracked, preconditioner = self._engine, self._output, self._tracked, self._engine.preconditioner
        along, lower = preconditioner.times_output(output), engine.everything_below(self._ahead, output)
        total = self._weight_products(output.at_projection) if FC_WEIGHT in tracked else self.scores.new_zeros(1, 1, 1)
        if "fc.bias" in tracked:
            total = total + self._gram(output.at_projection, along.at_projection)
        assert lower.moments is not None  # noqa: S101 - everything is wanted
        gradients = lower.moments @ engine.jacobian()
        own = linear_factors(tracked, output, gradients)
        times = linear_factors(tracked, along, preconditioner.times_convolution(tracked, gradients))
        assert own is not None and times is not None  # noqa: S101, PT018 - there are moments
        return total + self._gram(own, times) + self._row_products(engine.embeddings(self._ahead, lower))

    def _weight_products(self, at_projection: Float[Tensor, "sorted dim"]) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply the gradients of fc.weight, d ⊗ features: ⟨d_k, d_l ∘ P (features_k ∘ features_l)⟩."""
        engine = self._engine
        features = engine.features(self._ahead)
        features = self._sorted_back(engine.precision.operand(features).to(features.dtype))
        mine, scale = self._sorted_back(at_projection), engine.preconditioner.scales.get(FC_WEIGHT)
        if scale is None:
            return (mine @ mine.transpose(1, 2)) * (features @ features.transpose(1, 2))
        columns = []
        for k in range(mine.shape[1]):
            along = (features * features[:, k, None]) @ scale
            columns.append((mine * along.mul_(mine[:, k, None])).sum(dim=2))
        return torch.stack(columns, dim=2)

    def _row_products(self, rows: EmbeddingRows) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply the gradients of rows of embedding tables; the relation is one, whatever is corrupted."""
        tracked, along = self._tracked, self._engine.preconditioner.times_rows(rows)
        total = self._gram(rows.relation, along.relation) if RELATIONS in tracked else self.scores.new_zeros(1, 1, 1)
        heads, tails = self._ids[:, :, 0], self._ids[:, :, 2]
        if ENTITIES in tracked:
            head, tail, along_head, along_tail = map(self._sorted_back, (rows.head, rows.tail, along.head, along.tail))
            crossed = products_where_equal(head, along_tail, heads, tails)
            total = (
                total
                + products_where_equal(head, along_head, heads, heads)
                + products_where_equal(tail, along_tail, tails, tails)
            )
            total = total + crossed + crossed.transpose(1, 2)
        if ENTITY_BIAS in tracked:
            one, along_one = self._sorted_back(rows.tail_bias[:, None]), self._sorted_back(along.tail_bias[:, None])
            total = total + products_where_equal(one, along_one, tails, tails)
        return total

    def _sorted_back(self, values: Float[Tensor, "sorted width"]) -> Float[Tensor, "triple gradient width"]:
        return values.index_select(0, self._place).view(*self._ids.shape[:2], values.shape[1])

    def _gram(
        self, values: Float[Tensor, "sorted width"], along: Float[Tensor, "sorted width"]
    ) -> Float[Tensor, "triple gradient gradient"]:
        return self._sorted_back(values) @ self._sorted_back(along).transpose(1, 2)
