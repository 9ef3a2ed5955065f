"""Influences on answers under any loss: products with all columns, added up over columns and over parts of the loss."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch.nn.functional import embedding_bag

from tracin_dask.influence.columns import Answers
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, Factors, Indexed, TripleScorer
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses import AnyLoss, CorruptingLoss, LossPart, NegatedScore, reads
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES
from tracin_dask.influence.losses.by_row import LossByRow, join_parts
from tracin_dask.influence.tensors import concatenate
from tracin_dask.influence.tiling import Tiling, tiling_of


class AnswerScorer:
    """Scores the triples of a batch as they are."""

    def __init__(self, scorer: TripleScorer, answers: Answers) -> None:
        """Take what scores columns, and how they add up: on the device of these."""
        self._scorer, self._answers = scorer, answers

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays, loss: LossByRow | None = None) -> Indexed:
        """Find out what the ids say; rows have losses of their own, or all of them the engine's."""
        return self._scorer.index(ids, arrays, loss)

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch in the parts that the engine makes of it."""
        for part in self._scorer.parts(indexed):
            yield replace(part, influences=self._answers.add_up(part.influences))

    def whole(self, indexed: Indexed) -> BatchScores:
        """Score a batch in one piece."""
        first, *others = self.parts(indexed)
        if not others:
            return first
        total = first.influences.new_empty(len(indexed), first.influences.shape[1])
        for part in (first, *others):
            total[part.place] = part.influences
        return BatchScores(rows=np.arange(len(indexed)), influences=total)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joined:
    """The triples of some rows of a batch and those made from them, sorted as one batch."""

    triples: Indexed
    place: IndexArray
    """Where the triples of each row stand: [row, part]."""

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WithCorrupted:
    """A batch, some rows at a time."""

    num_rows: int
    pieces: tuple[_Joined, ...]

    def __len__(self) -> int:
        """Count the triples of the batch."""
        return self.num_rows


class CorruptingScorer:
    """Scores training triples and the triples that the loss makes from them; all share one layout of the columns."""

    def __init__(self, scorer: AnswerScorer, loss: CorruptingLoss, num_entities: int, tiling: Tiling) -> None:
        """Take what scores single triples, and how many it scores at a time."""
        self._scorer, self._loss, self._num_entities, self._tiling = scorer, loss, num_entities, tiling

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Join the triples of a batch, of all of its rows or of some at a time, with those made from them."""
        parts = self._loss.parts(ids, self._num_entities)
        step = self._tiling.rows_to_corrupt(len(parts))
        pieces = [slice(start, start + step) for start in range(0, len(ids), step)]
        joined = tuple(self._index(parts, rows, arrays) for rows in pieces)
        return _WithCorrupted(num_rows=len(ids), pieces=joined)

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score the triples of a batch with those made from them."""
        batch = cast(_WithCorrupted, indexed)
        pieces = [self._sums(piece) for piece in batch.pieces]
        squares = [piece.squares for piece in pieces if piece.squares is not None]
        yield BatchScores(
            rows=np.arange(len(batch)),
            influences=pieces[0].influences if len(pieces) == 1 else torch.cat([one.influences for one in pieces]),
            squares=(squares[0] if len(squares) == 1 else concatenate(squares)) if squares else None,
        )

    def _index(self, parts: Sequence[LossPart], rows: slice, arrays: IndexArrays) -> _Joined:
        joined = join_parts(parts, rows, arrays)
        place = arrays.put(joined.place)
        triples = self._scorer.index(joined.triples, arrays, replace(joined.loss, sums=place))
        return _Joined(triples=triples, place=place)

    def _sums(self, piece: _Joined) -> BatchScores:
        """Add up what the triples of each row add."""
        found = self._scorer.whole(piece.triples)
        influences = embedding_bag(piece.place.tensor, found.influences, mode="sum")
        return BatchScores(rows=np.arange(len(piece)), influences=influences, squares=found.squares)


def make_scorer(engine: Engine, factors: Factors, answers: Answers) -> BatchScorer:
    """Make what scores batches of training triples under the engine's loss."""
    loss: AnyLoss = engine.loss
    answers = answers.on(engine.model.device)
    if reads(loss) != CORRUPTED_TRIPLES:
        return AnswerScorer(engine.scorer(factors), answers)
    any_own = engine.with_loss(NegatedScore()).scorer(factors)  # its loss is replaced by those of the parts
    corrupting, tiling = cast(CorruptingLoss, loss), tiling_of(engine.model.device)
    return CorruptingScorer(AnswerScorer(any_own, answers), corrupting, engine.num_entities, tiling)
