"""The rows of a synthetic graph, drawn in blocks of whole heads so that memory does not depend on their number."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic_graph.entities import Entities
from synthetic_graph.heads import Choices, draw_groups
from synthetic_graph.shape import Skew
from synthetic_graph.tails import Popularity, draw_distinct_tails

BLOCK_ROWS = 1 << 20
_BLOCK_CHOICES = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Distinct triples `rows` [row, 3] of whole groups, group by group; `is_first` marks where a group begins."""

    rows: NDArray[np.int32]
    is_first: NDArray[np.bool_]
    group_head: NDArray[np.int64]
    group_relation: NDArray[np.int64]
    group_size: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowSource:
    """Everything that decides the rows, but for the random numbers."""

    entities: Entities
    choices: list[Choices]
    degrees: NDArray[np.int32]
    popularity: Popularity
    skew: Skew

    def blocks(self, random: np.random.Generator) -> Iterator[Block]:
        """Draw the rows, head by head in the order of their ids."""
        for index, choices in enumerate(self.choices):
            start, end = self.entities.starts[index : index + 2].tolist()
            heads = start + np.flatnonzero(self.degrees[start:end])
            for part in _cut(self.degrees[heads], max_heads=_BLOCK_CHOICES // max(1, len(choices.relations))):
                yield self._block(heads[part], choices, random)

    def _block(self, heads: NDArray[np.int64], choices: Choices, random: np.random.Generator) -> Block:
        groups = draw_groups(self.degrees[heads].astype(np.int64), choices, self.skew, random)
        group_head, group_relation = heads[groups.head], choices.relations[groups.choice]
        group, tail = draw_distinct_tails(
            group_head, choices.tail_types[groups.choice], groups.size, self.popularity, random
        )
        return Block(
            rows=np.stack([group_head[group], group_relation[group], tail], axis=1).astype(np.int32),
            is_first=np.diff(group, prepend=-1) > 0,
            group_head=group_head,
            group_relation=group_relation,
            group_size=groups.size,
        )


def _cut(degrees: NDArray[np.int32], *, max_heads: int) -> Iterator[slice]:
    """Cut heads into runs of at most about `BLOCK_ROWS` rows, or of one head with more."""
    ends = np.cumsum(degrees, dtype=np.int64)
    start = 0
    while start < len(degrees):
        before = ends[start - 1] if start else 0
        end = int(np.searchsorted(ends, before + BLOCK_ROWS, side="right"))
        end = min(max(end, start + 1), start + max_heads)
        yield slice(start, end)
        start = end
