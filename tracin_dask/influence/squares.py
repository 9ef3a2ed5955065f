"""Squared lengths of gradients that are sums over several triples: of triples and those corrupted, of two tails.

One triple has few gradients: their inner products with each other are a small matrix per triple, term by term, and the
square is the sum of its entries times both derivatives, Σ_kl δ_k δ_l ⟨∇score_k, P ∇score_l⟩; lengths are those that a
preconditioner P, if there is one, gives to gradients.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.columns import Asked, Question, gradients_of
from tracin_dask.influence.engine import Engine
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.losses import SLCWA, OneToAll, derivative


def self_influence(engine: Engine, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    """Compute learning_rate · ‖∇loss_i‖² for every triple i, under any loss.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named.
    """
    return squared_lengths(engine, Question(), triples.numpy(), what="training")


def squared_lengths(
    engine: Engine,
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
        return engine.with_loss(asked.loss).self_influence(torch.from_numpy(triples), what=what)
    found = [torch.empty(0, dtype=engine.model.dtype, device=engine.model.device)]
    step = max(1, engine.gradients_at_a_time // question.num_gradients(engine.loss))
    for start in range(0, len(triples), step):
        some = slice(start, start + step)
        tails = None if contrast_tails is None else contrast_tails[some]
        found.append(_of_sums(engine, list(gradients_of(engine, question, triples[some], tails))))
    total = torch.cat(found).mul_(engine.learning_rate)
    refuse_non_finite(triples, total[:, None], what=what)
    return total


def _of_sums(engine: Engine, asked: Sequence[Asked]) -> Float[Tensor, " triple"]:
    """Square the sums of the gradients that are asked for of each triple; each is one of the triple's own score."""
    ids = np.stack([one.triples for one in asked], axis=1)
    own, products = engine.products_within(ids)
    derivatives = []
    for column, one in enumerate(asked):
        assert not isinstance(one.loss, OneToAll | SLCWA)  # noqa: S101 - gradients that are added up are of one score
        derivatives.append(one.sign * derivative(one.loss, own[:, column]))
    by = torch.stack(derivatives, dim=1)[:, :, None]
    return (by * products * by.transpose(1, 2)).sum(dim=(1, 2))
