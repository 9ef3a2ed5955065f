"""The largest shares of distinct heads and pairs among neighbouring rows of a store, by looking at some places."""

import numpy as np
import pytest

from tracin_dask.triples import windows
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.windows import most_distinct


class Rows:
    """Stands in for a store: two heads of many rows, then as many heads as rows."""

    def __init__(self, num_rows: int = 1000) -> None:
        heads = np.concatenate([np.repeat([0, 1], num_rows // 4), 2 + np.arange(num_rows // 2)])
        self.triples = np.column_stack([heads, np.arange(num_rows) // 2 % 5, np.zeros(num_rows, np.int64)])
        self.read_rows: list[int] = []

    def __len__(self) -> int:
        return len(self.triples)

    def read(self, start: int, stop: int) -> TripleBlock:
        self.read_rows.append(stop - start)
        return TripleBlock(triples=self.triples[start:stop], train_index=np.arange(start, stop))


def test_the_place_with_the_most_heads_and_pairs_counts(monkeypatch):
    monkeypatch.setattr(windows, "LOOKED_AT", 100)
    rows = Rows()
    found = most_distinct(rows)
    assert (found.num_rows, found.heads, found.pairs) == (100, 1.0, 1.0)
    assert rows.read_rows == [100] * windows.LOOKS


@pytest.mark.parametrize("num_rows", [400, 100, 8])
def test_a_store_with_fewer_rows_is_read_whole(num_rows):
    rows = Rows(num_rows)
    rows.triples = rows.triples[: num_rows // 2]  # the two heads
    found = most_distinct(rows)
    assert found.heads == 2 / len(rows)
    assert found.pairs == len(np.unique(rows.triples[:, :2], axis=0)) / len(rows) or num_rows > 8
    assert rows.read_rows == [len(rows)]
