"""The k best proponents and opponents of each test triple: a value that is made from scores, merged, and finished.

Ties go to the lower `train_index`, so that the outcome depends neither on the order of rows nor on how they were cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

RankBy = Literal["absolute", "proponents", "opponents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Influences on many test triples in one list, ordered by test triple, then from the best to the worst."""

    test_index: Int[ndarray, " entry"]
    influence: Float[ndarray, " entry"]
    train_index: Int[ndarray, " entry"]
    triples: Int[ndarray, "entry 3"]

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.influence)

    def take(self, chosen: ndarray) -> "Ranking":
        """Keep the chosen entries (a mask, or indices in the wanted order)."""
        return Ranking(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """The `k` highest and the `k` lowest influences on every test triple; fewer only where fewer rows were seen."""

    k: int
    highest: Ranking
    lowest: Ranking


def empty(k: int) -> TopK:
    """Make the TopK of no rows, the neutral element of `merge`."""
    nothing = Ranking(
        test_index=np.empty(0, np.int64),
        influence=np.empty(0, np.float64),
        train_index=np.empty(0, np.int64),
        triples=np.empty((0, 3), np.int64),
    )
    return TopK(k=k, highest=nothing, lowest=nothing)


def merge(parts: Sequence[TopK]) -> TopK:
    """Merge TopKs of the same test triples over different rows; associative and commutative."""
    k = parts[0].k
    return TopK(
        k=k,
        highest=_best(_join([part.highest for part in parts]), k, sign=1),
        lowest=_best(_join([part.lowest for part in parts]), k, sign=-1),
    )


def ranked(top: TopK, test_index: int, rank_by: RankBy) -> Ranking:
    """List the best k of one test triple: by |influence|, or proponents (> 0) or opponents (< 0) only.

    The k largest |influence| lie in the union of the k highest and the k lowest.
    """
    high, low = (side.take(side.test_index == test_index) for side in (top.highest, top.lowest))
    if rank_by == "proponents":
        return high.take(high.influence > 0)
    if rank_by == "opponents":
        return low.take(low.influence < 0)
    both = _join([high, low])
    both = both.take(np.unique(both.train_index, return_index=True)[1])
    return both.take(np.lexsort((both.train_index, -np.abs(both.influence)))[: top.k])


class TopKStream:
    """Gathers the TopK of batch after batch; memory is bounded by k, the test triples and one batch."""

    def __init__(self, k: int, num_tests: int) -> None:
        """Start with no rows."""
        self._k = k
        self._sides = (_Side(k, num_tests, sign=1), _Side(k, num_tests, sign=-1))

    def add(
        self,
        influences: Float[Tensor, "batch test"],
        train_index: Int[ndarray, " batch"],
        triples: Int[ndarray, "batch 3"],
    ) -> None:
        """Take in one batch."""
        if len(influences) == 0:
            return
        for side in self._sides:
            side.add(influences, train_index, triples)

    def finish(self) -> TopK:
        """Give the TopK of all batches."""
        highest, lowest = (side.settle() for side in self._sides)
        return TopK(k=self._k, highest=highest, lowest=lowest)


class _Side:
    """One side of the stream: entries that reached the k-th best so far wait until there are enough to rank them."""

    def __init__(self, k: int, num_tests: int, *, sign: int) -> None:
        self._k, self._num_tests, self._sign = k, num_tests, sign
        self._waiting = [empty(k).highest]
        self._most_waiting = max(2 * k * num_tests, 4096)
        self._bound: Tensor | None = None
        self._bound_index = np.empty(0, np.int64)

    def add(self, influences: Tensor, train_index: ndarray, triples: ndarray) -> None:
        signed = influences if self._sign > 0 else -influences
        bound = self._bound
        if bound is None:
            bound = signed.topk(min(self._k, len(signed)), dim=0).values[-1]
        row, test = (index.cpu().numpy() for index in (signed >= bound).nonzero(as_tuple=True))
        if len(row) == 0:
            return
        found = Ranking(
            test_index=test,
            influence=influences[row, test].double().cpu().numpy(),
            train_index=train_index[row],
            triples=triples[row],
        )
        self._waiting.append(found if self._bound is None else self._without_lost_ties(found))
        if sum(map(len, self._waiting)) > self._most_waiting:
            self._rank(influences)

    def settle(self) -> Ranking:
        return _best(_join(self._waiting), self._k, sign=self._sign)

    def _rank(self, like: Tensor) -> None:
        """Rank what waits, and raise the bounds of the test triples that have k entries."""
        best = self.settle()
        self._waiting = [best]
        last = np.searchsorted(best.test_index, np.arange(self._num_tests), side="right") - 1
        if len(best) < self._k * self._num_tests:
            return
        self._bound_index = best.train_index[last]
        self._bound = torch.as_tensor(self._sign * best.influence[last]).to(like)

    def _without_lost_ties(self, found: Ranking) -> Ranking:
        """Drop entries that equal the k-th best and come later in the training file."""
        assert self._bound is not None  # noqa: S101 - impossible state
        bound = self._bound.double().cpu().numpy()[found.test_index]
        lost = (self._sign * found.influence == bound) & (found.train_index > self._bound_index[found.test_index])
        return found.take(~lost) if lost.any() else found


def _join(parts: Sequence[Ranking]) -> Ranking:
    return Ranking(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Ranking)})


def _best(entries: Ranking, k: int, *, sign: int) -> Ranking:
    """Order entries by test triple, then from the best to the worst, and keep k of each test triple."""
    order = np.lexsort((entries.train_index, -sign * entries.influence, entries.test_index))
    test_index = entries.test_index[order]
    rank = np.arange(len(order)) - np.searchsorted(test_index, test_index, side="left")
    return entries.take(order[rank < k])
