"""A block of integer triples: what the reader gives, what is sorted, and what the store gives back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class TripleBlock:
    """Rows of (head, relation, tail) ids and where each came from.

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
        """Take the rows that a mask or numbers choose."""
        return TripleBlock(triples=self.triples[chosen], train_index=self.train_index[chosen])


def concatenate(blocks: Iterable[TripleBlock]) -> TripleBlock:
    """Put blocks one after another; none at all give an empty block."""
    parts = list(blocks)
    if not parts:
        return TripleBlock(triples=np.empty((0, 3), np.int64), train_index=np.empty(0, np.int64))
    return TripleBlock(
        triples=np.concatenate([part.triples for part in parts]),
        train_index=np.concatenate([part.train_index for part in parts]),
    )


def regroup(blocks: Iterable[TripleBlock], rows: int) -> Iterator[TripleBlock]:
    """Cut a stream of blocks anew, so that every block but the last has exactly `rows` rows."""
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
