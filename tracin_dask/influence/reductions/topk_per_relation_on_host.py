"""The best k of each relation, gathered on the host: it looks for what reaches the k-th best of its list so far."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.base import ScoredBatch
from tracin_dask.influence.reductions.ranked import without_zeros
from tracin_dask.influence.reductions.topk import Bounds, Ranking, TopK

PAIR_BYTES = 24
"""Of a pair of a training triple and a test triple: its limit, its influence with a sign, and whether it reaches."""


class RelationTopKStream:
    """Gathers the TopK of batch after batch; memory is bounded by k, the relations, the test triples and one batch."""

    def __init__(self, seen: TopK, num_tests: int, *, skips_zeros: bool) -> None:
        """Start with no rows; what rows that were `seen` surpass is not kept."""
        self._k, self._num_relations, self._skips_zeros = seen.k, seen.num_relations, skips_zeros
        high, low = topk.bounds(seen, num_tests)
        self._sides = (_Side(seen.k, seen.num_relations, high, sign=1), _Side(seen.k, seen.num_relations, low, sign=-1))

    def add(self, batch: ScoredBatch) -> None:
        """Take in one batch."""
        batch = without_zeros(batch) if self._skips_zeros else batch
        for side in self._sides:
            side.add(batch)

    def finish(self) -> TopK:
        """Give the TopK of all batches."""
        highest, lowest = (side.settle() for side in self._sides)
        return TopK(k=self._k, highest=highest, lowest=lowest, num_relations=self._num_relations)


class _Side:
    """One side of the stream: entries that reach the k-th best of their list so far wait until they are ranked."""

    def __init__(self, k: int, num_relations: int, start: Bounds, *, sign: int) -> None:
        self._k, self._num_relations, self._sign, self._bounds = k, num_relations, sign, start
        self._waiting = [topk.empty(k).highest]
        self._most_waiting = max(2 * k * len(start.train_index), 4096)
        self._limits: Float[Tensor, "relation test"] | None = None
        by_test = start.signed_influence.reshape(-1, num_relations)
        self._unlimited = set(np.flatnonzero(np.isneginf(by_test).any(axis=0)).tolist())

    def add(self, batch: ScoredBatch) -> None:
        signed = batch.influences if self._sign > 0 else -batch.influences
        if batch.is_ranked is not None:
            signed = signed.masked_fill(~batch.is_ranked, -math.inf)
        if self._limits is None:
            self._limits = self._by_relation(signed)
        relations = batch.triples[:, 1]
        self._set_first_limits(signed, relations)
        reaches = signed >= self._limits[send(relations, signed.device)]
        if batch.is_ranked is not None:
            reaches &= batch.is_ranked
        found = self._entries(batch, reaches)
        if len(found) == 0:
            return
        self._waiting.append(self._without_lost_ties(found))
        if sum(map(len, self._waiting)) > self._most_waiting:
            self._rank()

    def settle(self) -> Ranking:
        waiting = topk.joined(self._waiting)
        return topk.best_of(waiting, self._k, sign=self._sign, num_relations=self._num_relations)

    def _by_relation(self, like: Tensor) -> Float[Tensor, "relation test"]:
        """Give the bounds as limits of a batch."""
        by_test = self._bounds.signed_influence.reshape(-1, self._num_relations)
        return torch.as_tensor(np.ascontiguousarray(by_test.T)).to(like)

    def _set_first_limits(self, signed: Float[Tensor, "row test"], relations: Int[ndarray, " row"]) -> None:
        """Take what a batch surpasses k times as the limits of relations that have none yet."""
        assert self._limits is not None  # noqa: S101 - `add` sets it
        for relation in self._unlimited.intersection(np.unique(relations).tolist()) if self._unlimited else ():
            mine = np.flatnonzero(relations == relation)
            if len(mine) >= self._k:
                kth = signed[send(mine, signed.device)].topk(self._k, dim=0).values[-1]
                self._limits[relation] = torch.maximum(self._limits[relation], kth)
                self._unlimited.discard(relation)

    def _entries(self, batch: ScoredBatch, reaches: Tensor) -> Ranking:
        row, column = reaches.nonzero(as_tuple=True)
        place = row.cpu().numpy()
        return Ranking(
            test_index=column.cpu().numpy(),
            influence=batch.influences[row, column].double().cpu().numpy(),
            train_index=batch.train_index[place],
            triples=batch.triples[place],
        )

    def _rank(self) -> None:
        """Drop waiting entries that k others of their list surpass; the k-th best becomes the bound of its list."""
        best = self.settle()
        self._waiting = [best]
        self._bounds = topk.raised(self._bounds, best, self._k, sign=self._sign, num_relations=self._num_relations)
        assert self._limits is not None  # noqa: S101 - `add` sets it
        self._limits = torch.maximum(self._limits, self._by_relation(self._limits))

    def _without_lost_ties(self, found: Ranking) -> Ranking:
        """Drop entries that equal the k-th best and come later in the training file."""
        lists = topk.lists_of(found, self._num_relations)
        bound = self._bounds.signed_influence[lists]
        lost = (self._sign * found.influence == bound) & (found.train_index > self._bounds.train_index[lists])
        return found.take(~lost) if lost.any() else found
