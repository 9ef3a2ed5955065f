"""The pairs of a batch that have the head or the relation of a test triple, whose gradient moves its embedding."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.id_join import IdIndex
from tracin_dask.influence.terms import COLUMN, Row, RowTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualIds:
    """All test triples and pairs that hold the same id, in the order of the test triples."""

    tests: Int[ndarray, " match"]
    pairs: Int[ndarray, " match"]


class MovedPairs:
    """The pairs of one batch; ids are joined on the host, once for all test triples."""

    def __init__(self, index: Mapping[Row, IdIndex], pairs: Int[ndarray, "pair 2"]) -> None:
        """Take the look-ups of the test triples."""
        self._index, self._pairs = index, pairs
        self._found: dict[tuple[Row, Row], EqualIds] = {}

    def add(
        self,
        total: Float[Tensor, "some_test pair width"],
        term: RowTerm,
        moves: Float[Tensor, "test width"],
        tests: slice,
    ) -> None:
        """Add the moves of some neighbouring test triples to the pairs that have the id of a term, in place."""
        found = self._equal_ids(term)
        first, last = np.searchsorted(found.tests, [tests.start, tests.stop])
        if first == last:
            return
        of_test, pairs = found.tests[first:last], found.pairs[first:last]
        places = (of_test - tests.start) * len(self._pairs) + pairs
        test, place = send(np.stack([of_test, places]), total.device)
        total.view(-1, total.shape[2]).index_add_(0, place, moves.index_select(0, test))

    def _equal_ids(self, term: RowTerm) -> EqualIds:
        rows = (term.train, term.test)
        if rows not in self._found:
            self._found[rows] = equal_ids(self._index[term.test], self._pairs[:, COLUMN[term.train]])
        return self._found[rows]


def equal_ids(index: IdIndex, ids: Int[ndarray, " pair"]) -> EqualIds:
    """List all test triples and pairs that hold the same id."""
    found = index.matches(ids)
    if found is None:
        return EqualIds(tests=np.empty(0, np.int64), pairs=np.empty(0, np.int64))
    order = np.argsort(found.row_slots, kind="stable")
    slots = found.row_slots[order]
    first, last = (np.searchsorted(slots, found.test_slots, side=side) for side in ("left", "right"))
    numbers = last - first
    within = np.arange(numbers.sum()) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    return EqualIds(tests=np.repeat(found.tests, numbers), pairs=found.rows[order[np.repeat(first, numbers) + within]])
