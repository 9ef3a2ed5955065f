"""The pairs of a batch that have the head or the relation of a test triple, whose gradient moves its embedding."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.id_join import IdIndex
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.tensors import add_selected
from tracin_dask.influence.terms import COLUMN, Row, RowTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualIds:
    """All test triples and pairs that hold the same id, in the order of the test triples."""

    tests: IndexArray
    """[match]."""
    places: IndexArray
    """Test triple · number of pairs + pair: [match]."""


class MovedPairs:
    """The pairs of one batch; ids are joined on the host, once for all test triples."""

    def __init__(
        self,
        index: Mapping[Row, IdIndex],
        pairs: Int[ndarray, "pair 2"],
        terms: Iterable[RowTerm],
        arrays: IndexArrays,
    ) -> None:
        """Find the pairs that have the id of a term; takes the look-ups of the test triples."""
        self._num_pairs = len(pairs)
        self._found: dict[tuple[Row, Row], EqualIds] = {}
        for term in terms:
            rows = (term.train, term.test)
            if rows not in self._found:
                self._found[rows] = equal_ids(index[term.test], pairs[:, COLUMN[term.train]], arrays)

    def add(
        self,
        total: Float[Tensor, "some_test pair width"],
        term: RowTerm,
        moves: Float[Tensor, "test width"],
        tests: slice,
    ) -> None:
        """Add the moves of some neighbouring test triples to the pairs that have the id of a term, in place."""
        found = self._found[term.train, term.test]
        first, last = np.searchsorted(found.tests.host, [tests.start, tests.stop]).tolist()
        if first == last:
            return
        place = found.places.tensor[first:last]
        if tests.start:
            place = place - tests.start * self._num_pairs
        add_selected(total.view(-1, total.shape[2]), place, moves, found.tests.tensor[first:last])


def equal_ids(index: IdIndex, ids: Int[ndarray, " pair"], arrays: IndexArrays) -> EqualIds:
    """List all test triples and pairs that hold the same id."""
    found = index.matches(ids)
    if found is None:
        none = np.empty(0, np.int64)
        return EqualIds(tests=arrays.put(none), places=arrays.put(none))
    order = np.argsort(found.row_slots, kind="stable")
    slots = found.row_slots[order]
    first, last = (np.searchsorted(slots, found.test_slots, side=side) for side in ("left", "right"))
    numbers = last - first
    within = np.arange(numbers.sum()) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    tests, pairs = np.repeat(found.tests, numbers), found.rows[order[np.repeat(first, numbers) + within]]
    return EqualIds(tests=arrays.put(tests), places=arrays.put(tests * len(ids) + pairs))
