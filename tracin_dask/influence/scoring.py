"""Influences on answers under any loss: products with all columns, added up over columns and over parts of the loss."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Answers
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, Factors, TripleScorer
from tracin_dask.influence.losses import AnyLoss, CorruptingLoss, Loss, NegatedScore, reads
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES


class AnswerScorer:
    """Scores the triples of a batch as they are."""

    def __init__(self, scorer: TripleScorer, answers: Answers) -> None:
        """Take what scores columns."""
        self._scorer, self._answers = scorer, answers

    def with_loss(self, loss: Loss) -> "AnswerScorer":
        """Give a scorer for another loss of the triples' own scores."""
        return AnswerScorer(self._scorer.with_loss(loss), self._answers)

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch in the parts that the engine makes of it."""
        for part in self._scorer.parts(ids):
            yield replace(part, influences=self._answers.add_up(part.influences))

    def whole(self, ids: Int[ndarray, "batch 3"]) -> Float[Tensor, "batch answer"]:
        """Score a batch in one piece."""
        first, *others = self.parts(ids)
        if not others:
            return first.influences
        total = first.influences.new_empty(len(ids), first.influences.shape[1])
        for part in (first, *others):
            total[send(part.rows, total.device)] = part.influences
        return total


class CorruptingScorer:
    """Scores training triples and the triples that the loss makes from them; all share one layout of the columns."""

    def __init__(self, scorer: AnswerScorer, loss: CorruptingLoss, num_entities: int) -> None:
        """Take what scores single triples."""
        self._scorer, self._loss, self._num_entities = scorer, loss, num_entities

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch; corrupted triples are sorted, so that equal (head, relation) share their forward pass."""
        own, *others = self._loss.parts(ids, self._num_entities)
        total = self._scorer.with_loss(own.loss).whole(own.triples)
        for other in others:
            order = np.lexsort(other.triples.T[::-1])
            for part in self._scorer.with_loss(other.loss).parts(other.triples[order]):
                total.index_add_(0, send(order[part.rows], total.device), part.influences)
        yield BatchScores(rows=np.arange(len(ids)), influences=total)


def make_scorer(engine: Engine, factors: Factors, answers: Answers) -> BatchScorer:
    """Make what scores batches of training triples under the engine's loss."""
    loss: AnyLoss = engine.loss
    if reads(loss) != CORRUPTED_TRIPLES:
        return AnswerScorer(engine.scorer(factors), answers)
    any_own = engine.with_loss(NegatedScore()).scorer(factors)  # its loss is replaced by those of the parts
    return CorruptingScorer(AnswerScorer(any_own, answers), cast(CorruptingLoss, loss), engine.num_entities)
