"""The top k of batch after batch, gathered on the host: it looks for what reaches the k-th best so far."""

import math

import torch
from torch import Tensor

from tracin_dask.influence.reductions.base import ScoredBatch
from tracin_dask.influence.reductions.ranked import without_zeros
from tracin_dask.influence.reductions.topk import Bounds, Ranking, TopK, best_of, bounds, empty, joined, raised


class TopKStream:
    """Gathers the TopK of batch after batch; memory is bounded by k, the test triples and one batch."""

    def __init__(self, k: int, num_tests: int, seen: TopK | None = None, *, skips_zeros: bool = False) -> None:
        """Start with no rows.

        With the TopK of rows that were `seen` and will be merged with these, entries that k of those surpass are left
        out: they are not among the best of all.
        """
        self._k, self._skips_zeros = k, skips_zeros
        start = bounds(seen or empty(k), num_tests)
        self._sides = tuple(_Side(k, bound, sign=sign) for bound, sign in zip(start, (1, -1), strict=True))

    def add(self, batch: ScoredBatch) -> None:
        """Take in one batch."""
        batch = without_zeros(batch) if self._skips_zeros else batch
        for side, best in zip(self._sides, (batch.highest, -batch.lowest), strict=True):
            side.add(batch, best)

    def finish(self) -> TopK:
        """Give the TopK of all batches."""
        highest, lowest = (side.settle() for side in self._sides)
        return TopK(k=self._k, highest=highest, lowest=lowest)


class _Side:
    """One side of the stream: entries that reach the k-th best so far wait until there are enough to rank them."""

    def __init__(self, k: int, start: Bounds, *, sign: int) -> None:
        self._k, self._sign, self._bounds = k, sign, start
        self._waiting = [empty(k).highest]
        self._most_waiting = max(2 * k * len(start.train_index), 4096)
        self._threshold: Tensor | None = None

    def add(self, batch: ScoredBatch, best: Tensor) -> None:
        if self._threshold is None:
            self._threshold = self._first_threshold(batch)
        tests = (best >= self._threshold).nonzero()[:, 0]
        if len(tests) == 0:
            return
        found = self._reaching(batch, tests)
        self._waiting.append(self._without_lost_ties(found))
        if sum(map(len, self._waiting)) > self._most_waiting:
            self._rank()

    def settle(self) -> Ranking:
        return best_of(joined(self._waiting), self._k, sign=self._sign)

    def _first_threshold(self, batch: ScoredBatch) -> Tensor:
        """Take the bounds to start with, or what the first batch itself surpasses k times."""
        influences = batch.influences
        start = torch.as_tensor(self._bounds.signed_influence).to(influences)
        if torch.isfinite(start).all() or len(influences) < self._k:
            return start
        signed = influences if self._sign > 0 else -influences
        if batch.is_ranked is not None:
            signed = signed.masked_fill(~batch.is_ranked, -math.inf)
        return torch.maximum(start, signed.topk(self._k, dim=0).values[-1])

    def _reaching(self, batch: ScoredBatch, tests: Tensor) -> Ranking:
        """Find the entries of some test triples that reach their thresholds."""
        assert self._threshold is not None  # noqa: S101 - `add` sets it
        influences = batch.influences
        some = influences.index_select(1, tests) if len(tests) < influences.shape[1] else influences
        limit = self._threshold[tests]
        reaches = (some >= limit) if self._sign > 0 else (some <= -limit)
        if batch.is_ranked is not None:
            reaches &= batch.is_ranked[:, tests]
        row, column = reaches.nonzero(as_tuple=True)
        place = row.cpu().numpy()
        return Ranking(
            test_index=tests[column].cpu().numpy(),
            influence=some[row, column].double().cpu().numpy(),
            train_index=batch.train_index[place],
            triples=batch.triples[place],
        )

    def _rank(self) -> None:
        """Drop waiting entries that k others surpass; the k-th best becomes the bound of its test triple."""
        best = self.settle()
        self._waiting = [best]
        self._bounds = raised(self._bounds, best, self._k, sign=self._sign)
        assert self._threshold is not None  # noqa: S101 - `add` sets it
        limit = torch.as_tensor(self._bounds.signed_influence).to(self._threshold)
        self._threshold = torch.maximum(self._threshold, limit)

    def _without_lost_ties(self, found: Ranking) -> Ranking:
        """Drop entries that equal the k-th best and come later in the training file."""
        bound = self._bounds.signed_influence[found.test_index]
        later = found.train_index > self._bounds.train_index[found.test_index]
        lost = (self._sign * found.influence == bound) & later
        return found.take(~lost) if lost.any() else found
