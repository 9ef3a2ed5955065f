"""Influences on answers under any loss: products with all columns, added up over columns and over parts of the loss."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import embedding_bag

from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Answers
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, Factors, TripleScorer
from tracin_dask.influence.losses import AnyLoss, CorruptingLoss, Loss, LossPart, NegatedScore, reads
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES
from tracin_dask.influence.tiling import Tiling, tiling_of


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

    def __init__(self, scorer: AnswerScorer, loss: CorruptingLoss, num_entities: int, tiling: Tiling) -> None:
        """Take what scores single triples, and how many corrupted ones it scores at a time."""
        self._scorer, self._loss, self._num_entities, self._tiling = scorer, loss, num_entities, tiling

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch: its triples, then the corrupted triples of all of its rows, or of some rows at a time."""
        own, *others = self._loss.parts(ids, self._num_entities)
        total = self._scorer.with_loss(own.loss).whole(own.triples)
        for loss, corrupted in _by_loss(others):
            scorer, step = self._scorer.with_loss(loss), self._tiling.rows_to_corrupt(len(corrupted))
            for start in range(0, len(ids), step):
                rows = slice(start, start + step)
                total[rows].add_(_sums(scorer, corrupted[:, rows]))
        yield BatchScores(rows=np.arange(len(ids)), influences=total)


def _by_loss(parts: Sequence[LossPart]) -> list[tuple[Loss, Int[ndarray, "negative batch 3"]]]:
    """Put the triples of equal losses together."""
    losses: list[Loss] = []
    for part in parts:
        if part.loss not in losses:
            losses.append(part.loss)
    return [(loss, np.stack([part.triples for part in parts if part.loss == loss])) for loss in losses]


def _sums(scorer: AnswerScorer, triples: Int[ndarray, "negative row 3"]) -> Float[Tensor, "row answer"]:
    """Score several triples for each row, and add them up; they are sorted, so that equal pairs are computed once."""
    flat = triples.reshape(-1, 3)
    order = np.lexsort((flat[:, 1], flat[:, 0]))
    influences = scorer.whole(flat[order])
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return embedding_bag(send(place.reshape(triples.shape[:2]).T, influences.device), influences, mode="sum")


def make_scorer(engine: Engine, factors: Factors, answers: Answers) -> BatchScorer:
    """Make what scores batches of training triples under the engine's loss."""
    loss: AnyLoss = engine.loss
    if reads(loss) != CORRUPTED_TRIPLES:
        return AnswerScorer(engine.scorer(factors), answers)
    any_own = engine.with_loss(NegatedScore()).scorer(factors)  # its loss is replaced by those of the parts
    corrupting, tiling = cast(CorruptingLoss, loss), tiling_of(engine.model.device)
    return CorruptingScorer(AnswerScorer(any_own, answers), corrupting, engine.num_entities, tiling)
