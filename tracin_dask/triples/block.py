"""A block of integer triples, as read from text, sorted, and read from the store."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class TripleBlock:
    """Rows of (head, relation, tail) ids with the lines that they come from.

    `train_index` is the 0-based number of the row's line in the source file; lines that were skipped leave gaps.
    """

    triples: Int64[np.ndarray, "row 3"]
    train_index: Int64[np.ndarray, " row"]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.train_index)

    def __getitem__(self, rows: slice) -> "TripleBlock":
        """Take a range of rows, as views."""
        return TripleBlock(triples=self.triples[rows], train_index=self.train_index[rows])

    def where(self, chosen: np.ndarray) -> "TripleBlock":
        """Take the rows selected by a mask or by row numbers."""
        return TripleBlock(triples=self.triples[chosen], train_index=self.train_index[chosen])


def concatenate(blocks: Iterable[TripleBlock]) -> TripleBlock:
    """Concatenate blocks; no blocks give an empty block."""
    parts = list(blocks)
    if not parts:
        return TripleBlock(triples=np.empty((0, 3), np.int64), train_index=np.empty(0, np.int64))
    return TripleBlock(
        triples=np.concatenate([part.triples for part in parts]),
        train_index=np.concatenate([part.train_index for part in parts]),
    )


def regroup(blocks: Iterable[TripleBlock], rows: int) -> Iterator[TripleBlock]:
    """Regroup a stream of blocks so that every block but the last has exactly `rows` rows."""
    pending: list[TripleBlock] = []
    for block in blocks:
        pending.append(block)
        if sum(map(len, pending)) < rows:
            continue
        whole = concatenate(pending)
        end = len(whole) // rows * rows
        yield from (whole[start : start + rows] for start in range(0, end, rows))
        pending = [whole[end:]]
    last = concatenate(pending)
    if len(last):
        yield last
