"""Influences divided by the lengths of gradients, so that triples with long ones do not lead every list."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Question, Targets
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine
from tracin_dask.influence.squares import squared_lengths
from tracin_dask.influence.summed import self_scores

Normalize = Literal["none", "cosine", "relatif"]
"""Divide by nothing; by the norms of both gradients; or by the training triple's only [1]_.

.. [1] Barshan, Brunet, Dziugaite: RelatIF, AISTATS 2020: the ℓ-relative influence, with the identity as the Hessian.
"""


class NormalisedScorer:
    """Scores batches, and divides by the norms of the training triples' gradients, and of the test triples' if given.

    A norm is that of the gradients of all checkpoints side by side, each times the root of its learning rate, so that
    no quotient by both norms is beyond 1. Where a gradient is zero the influence is 0.
    """

    def __init__(
        self,
        scorer: BatchScorer,
        engines: Sequence[Engine],
        test_norms: Float[Tensor, " test"] | None = None,
    ) -> None:
        """Take what scores, the engines of its checkpoints, and norms from any device."""
        self._scorer, self._engines = scorer, tuple(engines)
        self._by_test = None if test_norms is None else _reciprocals(test_norms.to(engines[0].model.device))

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch in the parts that the scorer makes of it."""
        by_row = _reciprocals(training_norms(self._engines, ids))[:, None]
        for part in self._scorer.parts(ids):
            part.influences.mul_(by_row if len(part.rows) == len(ids) else of_rows(by_row, part.rows))
            if self._by_test is not None:
                part.influences.mul_(self._by_test)
            yield part


def training_norms(engines: Sequence[Engine], ids: Int[ndarray, "batch 3"]) -> Float[Tensor, " batch"]:
    """Compute √(Σ over checkpoints of learning_rate · ‖∇loss_i‖²) for every triple i; raises as `self_scores`."""
    return roots(self_scores(engines, ids).influences[:, 0])


def question_norms(engines: Sequence[Engine], question: Question, test: Targets) -> Float[Tensor, " answer"]:
    """Compute √(Σ over checkpoints of learning_rate · ‖∇a‖²), where ∇a is the sum of all columns of an answer a.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named.
    """
    squares = [squared_lengths(engine, question, test) for engine in engines]
    return roots(torch.stack(squares).sum(dim=0))


def of_rows(values: Float[Tensor, "batch 1"], rows: Int[ndarray, " row"]) -> Float[Tensor, "row 1"]:
    """Take the values of some rows of a batch."""
    return values[send(rows, values.device)]


def roots(squares: Float[Tensor, " triple"]) -> Float[Tensor, " triple"]:
    """Take roots; squares below the normal numbers have lost their digits and count as 0, as do sums that cancel."""
    return torch.where(squares < torch.finfo(squares.dtype).tiny, 0, squares).sqrt()


def _reciprocals(norms: Float[Tensor, " triple"]) -> Float[Tensor, " triple"]:
    """Invert norms, and leave 0 where one is 0."""
    return torch.where(norms > 0, norms.reciprocal(), 0)
