"""Counts and hashes of the rows of a store, taken block by block in the order of the store."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.digests import RowDigester
from tracin_dask.triples.store import DUPLICATES, MISSING_ID, SELF_LOOPS, UNUSED_ENTITIES, UNUSED_RELATIONS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tallied:
    """What a store says of its rows."""

    num_triples: int
    num_distinct_heads: int
    num_distinct_head_relations: int
    num_duplicates: int
    num_self_loops: int
    num_unused_relations: int
    heads: Int64[ndarray, " entity"]
    """The rows of each head."""
    tails: Int64[ndarray, " entity"]
    row_digests: Int64[ndarray, " chunk"]
    sha256: tuple[str, str]
    """Of the triples, and of their train_index; they do not depend on the blocks."""

    @property
    def unused_entities(self) -> Int64[ndarray, " entity"]:
        """The entities that no triple has."""
        return np.flatnonzero(self.heads + self.tails == 0)

    def counts(self) -> dict[str, int]:
        """Count what a user may want to know of the triples."""
        return {
            DUPLICATES: self.num_duplicates,
            SELF_LOOPS: self.num_self_loops,
            UNUSED_ENTITIES: len(self.unused_entities),
            UNUSED_RELATIONS: self.num_unused_relations,
        }


class Tally:
    """Takes the rows of a store in its order."""

    def __init__(self, *, num_entities: int, num_relations: int) -> None:
        """Start without rows; memory grows with the entities."""
        self._heads = np.zeros(num_entities, np.int64)
        self._tails = np.zeros(num_entities, np.int64)
        self._is_used_relation = np.zeros(num_relations, dtype=bool)
        self._num_triples = 0
        self._num_duplicates = 0
        self._num_self_loops = 0
        self._num_distinct_heads = 0
        self._num_distinct_head_relations = 0
        self._last = np.full((1, 3), MISSING_ID)
        self._triples_sha256 = hashlib.sha256()
        self._train_index_sha256 = hashlib.sha256()
        self._digester = RowDigester()

    def add(self, block: TripleBlock) -> None:
        """Take the next rows."""
        rows = np.concatenate([self._last, block.triples])
        is_new = rows[1:] != rows[:-1]
        self._num_triples += len(block)
        self._num_distinct_heads += int(is_new[:, 0].sum())
        self._num_distinct_head_relations += int(is_new[:, :2].any(axis=1).sum())
        self._num_duplicates += int((~is_new.any(axis=1)).sum())
        self._last = rows[-1:]
        heads, relations, tails = block.triples.T
        self._num_self_loops += int((heads == tails).sum())
        count_ids(self._heads, heads)
        count_ids(self._tails, tails)
        self._is_used_relation[relations] = True
        self._triples_sha256.update(np.ascontiguousarray(block.triples, dtype="<i8").data)
        self._train_index_sha256.update(np.ascontiguousarray(block.train_index, dtype="<i8").data)
        self._digester.add(block.triples, block.train_index)

    def finish(self) -> Tallied:
        """Give what was counted."""
        return Tallied(
            num_triples=self._num_triples,
            num_distinct_heads=self._num_distinct_heads,
            num_distinct_head_relations=self._num_distinct_head_relations,
            num_duplicates=self._num_duplicates,
            num_self_loops=self._num_self_loops,
            num_unused_relations=int((~self._is_used_relation).sum()),
            heads=self._heads,
            tails=self._tails,
            row_digests=self._digester.finish(),
            sha256=(self._triples_sha256.hexdigest(), self._train_index_sha256.hexdigest()),
        )


def count_ids(counts: Int64[ndarray, " entity"], ids: Int64[ndarray, " row"]) -> None:
    """Add the number of times that each id occurs; the time grows with the rows, not with all entities."""
    np.add.at(counts, ids, 1)
