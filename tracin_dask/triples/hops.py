"""Distances between entities in the graph of the training triples: in hops, whatever the relations and directions."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int, Int8, Int64
from numpy import ndarray

from tracin_dask.triples.store import SHARD_ROWS, TripleStore

BEYOND = -1
"""In place of a distance that is longer than asked, or of none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingGraph:
    """Which entities the training triples connect: two matrices [entity, entity], 5 bytes per training triple each."""

    tails: sp.csr_array
    """A row for each entity, with the tails of the triples of which it is the head."""
    heads: sp.csr_array
    """The same with heads and tails exchanged."""

    @classmethod
    def of(cls, store: TripleStore) -> "TrainingGraph":
        """Read all training triples, a shard at a time: they are sorted by their heads, as the rows of the matrix are.

        Raises
        ------
        StoreError
            If rows are missing or damaged.
        """
        number = store.info.num_entities
        tails = np.empty(len(store), np.int32)
        counts = np.zeros(number + 1, np.int64)
        for start in range(0, len(store), SHARD_ROWS):
            triples = store.read(start, min(start + SHARD_ROWS, len(store))).triples
            tails[start : start + len(triples)] = triples[:, 2]
            counts[1:] += np.bincount(triples[:, 0], minlength=number)
        ends = np.cumsum(counts)
        narrow = ends.astype(np.int32) if len(tails) <= np.iinfo(np.int32).max else ends
        matrix = sp.csr_array((np.ones(len(tails), np.int8), tails, narrow), shape=(number, number))
        return cls(tails=matrix, heads=matrix.T.tocsr())

    def distances(self, source: int, targets: Int64[ndarray, " target"], most_hops: int) -> Int8[ndarray, " target"]:
        """Count the hops from an entity to others, up to `most_hops` (at most 127); `BEYOND` for longer ways, or none.

        The last hop goes from the targets to what is near the source where this has fewer triples to look at.
        """
        found = np.full(self.tails.shape[0], BEYOND, np.int8)
        found[source] = 0
        frontier = np.array([source])
        for hops in range(1, most_hops + 1):
            missing = np.unique(targets[found[targets] == BEYOND])
            if len(missing) == 0 or len(frontier) == 0:
                break
            if hops == most_hops and self._num_triples(missing) < self._num_triples(frontier):
                found[missing[self._touch(missing, found != BEYOND)]] = hops
                break
            for side in (self.tails, self.heads):
                reached = side[frontier].indices
                found[reached[found[reached] == BEYOND]] = hops
            frontier = np.flatnonzero(found == hops)
        nearest: Int8[ndarray, " target"] = found[targets]
        return nearest

    def near(self, entities: Int[ndarray, " entity"], most_hops: int) -> Bool[ndarray, " all"]:
        """Mark the entities that are at most `most_hops` training triples away from some of them, 0 for these alone."""
        reached = np.zeros(self.tails.shape[0], bool)
        frontier = np.unique(entities)
        reached[frontier] = True
        for _ in range(most_hops):
            found = np.unique(np.concatenate([side[frontier].indices for side in (self.tails, self.heads)]))
            frontier = found[~reached[found]]
            if len(frontier) == 0:
                break
            reached[frontier] = True
        return reached

    def _num_triples(self, entities: Int[ndarray, " entity"]) -> int:
        """Count the training triples of entities."""
        return sum(int((side.indptr[entities + 1] - side.indptr[entities]).sum()) for side in (self.tails, self.heads))

    def _touch(self, entities: Int[ndarray, " entity"], near: Bool[ndarray, " all"]) -> Bool[ndarray, " entity"]:
        """Tell which entities share a training triple with one of those near."""
        is_near = near.astype(np.int32)
        touches: Bool[ndarray, " entity"] = (self.tails[entities] @ is_near + self.heads[entities] @ is_near) > 0
        return touches
