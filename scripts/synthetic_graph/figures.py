"""The skew of a graph as it came out, counted while its rows are drawn."""

import numpy as np
from numpy.typing import NDArray

from synthetic_graph.rows import Block

GROUP_SIZES = (8, 32, 128)


class SkewCounter:
    """Counts the heads, groups, relations and tails of the training triples; a group is a pair (head, relation)."""

    def __init__(self, num_entities: int, num_relations: int, *, test_relation: int) -> None:
        """Start at zero."""
        self._test_relation = test_relation
        self._test_rows = np.zeros(num_entities, dtype=np.int64)  # of the test relation, by head
        self._other_groups = np.zeros(1, dtype=np.int64)  # their number by their size
        self._out_degrees = np.zeros(num_entities, dtype=np.int64)
        self._in_degrees = np.zeros(num_entities, dtype=np.int64)
        self._relation_rows = np.zeros(num_relations, dtype=np.int64)

    def add(self, block: Block) -> None:
        """Count the rows of whole groups."""
        self._count(block.rows, 1)
        of_test = block.group_relation == self._test_relation
        self._test_rows[block.group_head[of_test]] = block.group_size[of_test]
        self._other_groups = _sum(self._other_groups, np.bincount(block.group_size[~of_test]))

    def hold_out(self, rows: NDArray[np.int32]) -> None:
        """Take rows [row, 3] of the test relation out again."""
        self._count(rows, -1)
        self._test_rows -= np.bincount(rows[:, 0], minlength=len(self._test_rows))

    def _count(self, rows: NDArray[np.int32], times: int) -> None:
        heads, relations, tails = rows.T
        self._out_degrees += times * np.bincount(heads, minlength=len(self._out_degrees))
        self._relation_rows += times * np.bincount(relations, minlength=len(self._relation_rows))
        self._in_degrees += times * np.bincount(tails, minlength=len(self._in_degrees))

    def figures(self) -> dict[str, float]:
        """Name what was counted, shares as parts of the training triples."""
        num_rows = int(self._relation_rows.sum())
        groups = _sum(self._other_groups, np.bincount(self._test_rows[self._test_rows > 0]))
        rows_by_size = groups * np.arange(len(groups))
        return {
            "distinct_heads_per_row": np.count_nonzero(self._out_degrees) / num_rows,
            "distinct_head_relation_pairs_per_row": int(groups.sum()) / num_rows,
            **{
                f"share_of_rows_in_groups_of_at_least_{size}": int(rows_by_size[size:].sum()) / num_rows
                for size in GROUP_SIZES
            },
            "share_of_most_frequent_relation": int(self._relation_rows.max()) / num_rows,
            "num_distinct_relations": int(np.count_nonzero(self._relation_rows)),
            "num_distinct_tails": int(np.count_nonzero(self._in_degrees)),
            "largest_in_degree": int(self._in_degrees.max()),
            "largest_out_degree": int(self._out_degrees.max()),
            "largest_group": int(np.flatnonzero(groups)[-1]),
        }


def _sum(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add two lists of counts of different lengths."""
    total = np.zeros(max(len(left), len(right)), dtype=np.int64)
    total[: len(left)] += left
    total[: len(right)] += right
    return total
