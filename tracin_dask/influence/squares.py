"""Squared lengths of gradients that are sums over several triples: of triples and those corrupted, of two tails.

One triple has few gradients: their inner products with each other are a small matrix per triple, term by term, and the
square is the sum of its entries times both derivatives, Σ_kl δ_k δ_l ⟨∇score_k, ∇score_l⟩.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import index_batch, send
from tracin_dask.influence.engine import PairEngine
from tracin_dask.influence.factors import output_factors
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.losses import SLCWA, OneToAll, derivative
from tracin_dask.influence.passes import scores
from tracin_dask.influence.product import ENTITIES, ENTITY_BIAS, FC, RELATIONS, linear_factors, weigh_overlap
from tracin_dask.influence.questions import Asked, Question, gradients_of

GRADIENTS_AT_A_TIME = 256
"""Gradients whose features are held together; at least those of one triple."""


def self_influence(engine: PairEngine, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    """Compute learning_rate · ‖∇loss_i‖² for every triple i, under any loss.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named.
    """
    return squared_lengths(engine, Question(), triples.numpy(), what="training")


def squared_lengths(
    engine: PairEngine,
    question: Question,
    triples: Int[ndarray, "batch 3"],
    contrast_tails: Int[ndarray, " batch"] | None = None,
    *,
    what: str = "test",
) -> Float[Tensor, " batch"]:
    """Compute learning_rate · ‖∇j‖², where ∇j is the sum of all that a question asks of triple j.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named, and `what` it is for.
    """
    if question.num_gradients(engine.loss) == 1:
        (asked,) = gradients_of(engine, question, triples, contrast_tails)
        return replace(engine, loss=asked.loss).self_influence(torch.from_numpy(triples), what=what)
    found = [engine.model.kernel.new_empty(0)]
    step = max(1, GRADIENTS_AT_A_TIME // question.num_gradients(engine.loss))
    for start in range(0, len(triples), step):
        some = slice(start, start + step)
        tails = None if contrast_tails is None else contrast_tails[some]
        found.append(_of_sums(engine, list(gradients_of(engine, question, triples[some], tails))))
    total = torch.cat(found).mul_(engine.learning_rate)
    refuse_non_finite(triples, total[:, None], what=what)
    return total


def _of_sums(engine: PairEngine, asked: Sequence[Asked]) -> Float[Tensor, " triple"]:
    """Square the sums of the gradients that are asked for of each triple; each is one of the triple's own score."""
    ids = np.stack([one.triples for one in asked], axis=1)
    together = _Together(engine, ids)
    derivatives = []
    for column, one in enumerate(asked):
        assert not isinstance(one.loss, OneToAll | SLCWA)  # noqa: S101 - gradients that are added up are of one score
        derivatives.append(one.sign * derivative(one.loss, together.scores[:, column]))
    by = torch.stack(derivatives, dim=1)[:, :, None]
    return (by * together.products() * by.transpose(1, 2)).sum(dim=(1, 2))


class _Together:
    """The gradients of the scores of several triples of each of some triples, computed as one batch."""

    def __init__(self, engine: PairEngine, ids: Int[ndarray, "triple gradient 3"]) -> None:
        """Sort what is computed, so that equal (head, relation) share their forward pass."""
        self._engine, self._ids = engine, ids
        flat = ids.reshape(-1, 3)
        order = np.lexsort(flat.T[::-1])
        self._place = send(np.argsort(order), engine.model.device)
        self._ahead = engine.ahead(index_batch(flat[order], engine.model.device))
        tails = engine.model.entities[self._ahead.batch.triples[:, 2]]
        self._output = output_factors(engine.model, self._ahead, tails)
        self.scores = self._sorted_back(scores(engine.model, self._ahead, tails)[:, None])[:, :, 0]

    def products(self) -> Float[Tensor, "triple gradient gradient"]:
        """Multiply the gradients of the scores of each triple with each other."""
        engine, output, tracked = self._engine, self._output, self._engine.tracked
        lower = engine.everything_below(self._ahead, output)
        number, each, _ = self._ids.shape
        total = engine.model.kernel.new_zeros(number, each, each)
        if tracked & FC:
            overlap = self._gram(self._features()) if "fc.weight" in tracked else None
            total += self._gram(output.at_projection) * weigh_overlap(tracked, overlap)
        assert lower.moments is not None  # noqa: S101 - everything is wanted
        moments = lower.moments @ engine.jacobian() if engine.tracks_convolution else None
        linear = linear_factors(tracked, output, moments)
        if linear is not None:
            total += self._gram(linear)
        if RELATIONS in tracked:
            total += self._gram(lower.relation)  # of one relation, whatever is corrupted
        heads, tails = self._ids[:, :, 0], self._ids[:, :, 2]
        if ENTITIES in tracked:
            head, tail = self._sorted_back(lower.head), self._sorted_back(self._ahead.x[self._ahead.batch.pair])
            crossed = _where_equal(head, tail, heads, tails)
            total += _where_equal(head, head, heads, heads) + _where_equal(tail, tail, tails, tails)
            total += crossed + crossed.transpose(1, 2)
        if ENTITY_BIAS in tracked:
            total += send(tails[:, :, None] == tails[:, None, :], total.device)
        return total

    def _features(self) -> Float[Tensor, "sorted feature"]:
        features = self._engine.features(self._ahead)
        return self._engine.precision.operand(features).to(features.dtype)

    def _sorted_back(self, values: Float[Tensor, "sorted width"]) -> Float[Tensor, "triple gradient width"]:
        return values.index_select(0, self._place).view(*self._ids.shape[:2], values.shape[1])

    def _gram(self, values: Float[Tensor, "sorted width"]) -> Float[Tensor, "triple gradient gradient"]:
        mine = self._sorted_back(values)
        return mine @ mine.transpose(1, 2)


def _where_equal(
    left: Float[Tensor, "triple gradient dim"],
    right: Float[Tensor, "triple gradient dim"],
    left_ids: Int[ndarray, "triple gradient"],
    right_ids: Int[ndarray, "triple gradient"],
) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply rows of an embedding table where both are gradients of the same."""
    return (left @ right.transpose(1, 2)) * send(left_ids[:, :, None] == right_ids[:, None, :], left.device)
