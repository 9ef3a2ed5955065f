"""Influences on answers under any loss: products with all columns, added up over columns and over parts of the loss."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import embedding_bag

from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Answers
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, Factors, TripleScorer
from tracin_dask.influence.losses import AnyLoss, CorruptingLoss, Loss, LossPart, NegatedScore, reads
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES
from tracin_dask.influence.losses.by_row import join_parts
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
        """Take what scores single triples, and how many it scores at a time."""
        self._scorer, self._loss, self._num_entities, self._tiling = scorer, loss, num_entities, tiling

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score the triples of a batch, of all of its rows or of some at a time, with those made from them."""
        parts = self._loss.parts(ids, self._num_entities)
        step = self._tiling.rows_to_corrupt(len(parts))
        pieces = [slice(start, start + step) for start in range(0, len(ids), step)]
        sums = [self._sums(parts, rows) for rows in pieces]
        yield BatchScores(rows=np.arange(len(ids)), influences=sums[0] if len(sums) == 1 else torch.cat(sums))

    def _sums(self, parts: Sequence[LossPart], rows: slice) -> Float[Tensor, "row answer"]:
        """Add up what the triples of each row add."""
        joined = join_parts(parts, rows)
        influences = self._scorer.with_loss(joined.loss).whole(joined.triples)
        return embedding_bag(send(joined.place, influences.device), influences, mode="sum")


def make_scorer(engine: Engine, factors: Factors, answers: Answers) -> BatchScorer:
    """Make what scores batches of training triples under the engine's loss."""
    loss: AnyLoss = engine.loss
    if reads(loss) != CORRUPTED_TRIPLES:
        return AnswerScorer(engine.scorer(factors), answers)
    any_own = engine.with_loss(NegatedScore()).scorer(factors)  # its loss is replaced by those of the parts
    corrupting, tiling = cast(CorruptingLoss, loss), tiling_of(engine.model.device)
    return CorruptingScorer(AnswerScorer(any_own, answers), corrupting, engine.num_entities, tiling)
