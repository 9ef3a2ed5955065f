"""Rows of tables meet where their ids are equal: look-ups of test triples by id, and products of the rows that meet."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import runs, send


def is_same(left: Int[Tensor, "*stack row"], right: Int[Tensor, "*stack column"]) -> Bool[Tensor, "*stack row column"]:
    """Compare every id on the left with every id on the right."""
    return left[..., :, None] == right[..., None, :]


def products_where_equal(
    left: Float[Tensor, "triple gradient width"],
    right: Float[Tensor, "triple gradient width"],
    left_ids: Int[ndarray, "triple gradient"],
    right_ids: Int[ndarray, "triple gradient"],
) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the rows of each triple's gradients with each other where both are gradients of the same row."""
    return (left @ right.transpose(1, 2)) * is_same(send(left_ids, left.device), send(right_ids, left.device))


class IdIndex:
    """A look-up of the test triples that hold an id; on the host."""

    def __init__(self, test_ids: Int[ndarray, " test"], num_ids: int) -> None:
        """Number the distinct ids of the test triples."""
        self._ids, self._slot_of_test = np.unique(test_ids, return_inverse=True)
        self._slot_of_id = np.full(num_ids, -1, dtype=np.int32)
        self._slot_of_id[self._ids] = np.arange(len(self._ids))

    def holds(self, ids: Int[ndarray, " row"]) -> ndarray:
        """Tell of each id whether any test triple holds it."""
        is_held: ndarray = self._slot_of_id[ids] >= 0
        return is_held

    def tests(self, number: int) -> Int[ndarray, " match"]:
        """List the test triples that hold an id."""
        return np.flatnonzero(self._slot_of_test == self._slot_of_id[number])

    def matches(self, ids: Int[ndarray, " row"]) -> "Matches | None":
        """Find the rows and the test triples whose ids occur on both sides; None if there are none."""
        slots = self._slot_of_id[ids]
        rows = np.flatnonzero(slots >= 0)
        if len(rows) == 0:
            return None
        is_present = np.zeros(len(self._ids), dtype=bool)
        is_present[slots[rows]] = True
        tests = np.flatnonzero(is_present[self._slot_of_test])
        return Matches(rows=rows, tests=tests, row_slots=slots[rows], test_slots=self._slot_of_test[tests])


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Rows and test triples of which some hold the same id: those whose slots are equal."""

    rows: Int[ndarray, " match"]
    tests: Int[ndarray, " test_match"]
    row_slots: Int[ndarray, " match"]
    test_slots: Int[ndarray, " test_match"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdVectors:
    """Gradients of embedding rows of some training triples."""

    ids: Int[ndarray, " row"]
    vectors: Float[Tensor, "vector width"]
    rows: Int[ndarray, " row"] | None = None
    """The triple of each id; None if they are all triples in order."""
    vector_of_row: Int[ndarray, " row"] | None = None
    """The vector of each id; None if they are in the same order."""


def add_where_equal(
    total: Float[Tensor, "batch test"], index: IdIndex, mine: IdVectors, test_vectors: Float[Tensor, "test width"]
) -> None:
    """Add the inner products of embedding rows' gradients with those of the test triples where the ids are equal.

    Only rows and columns whose id occurs on the other side enter the product: its cost follows the matches.
    """
    found = index.matches(mine.ids)
    if found is None:
        return
    device = total.device
    place = send(found.rows if mine.vector_of_row is None else mine.vector_of_row[found.rows], device)
    tests = send(found.tests, device)
    block = mine.vectors[place] @ test_vectors[tests].T
    block *= is_same(send(found.row_slots.astype(np.int64), device), send(found.test_slots, device))
    add_block(total, send(found.rows if mine.rows is None else mine.rows[found.rows], device), tests, block)


def add_by_relation(
    total: Float[Tensor, "batch test"], index: IdIndex, mine: IdVectors, test_vectors: Float[Tensor, "test width"]
) -> None:
    """Add the same for relations, which many rows share: relation by relation."""
    shared = np.flatnonzero(index.holds(mine.ids))
    order = shared[np.argsort(mine.ids[shared], kind="stable")]
    cut = runs(mine.ids[order])
    grouped = mine.vectors[send(order, total.device)]
    place = send(order if mine.rows is None else mine.rows[order], total.device)
    for (start, stop), number in zip(cut.bounds, mine.ids[order][cut.starts].tolist(), strict=True):
        tests = send(index.tests(number), total.device)
        add_block(total, place[start:stop], tests, grouped[start:stop] @ test_vectors[tests].T)


def add_block(
    total: Float[Tensor, "batch test"],
    rows: Int[Tensor, " row"],
    tests: Int[Tensor, " some_test"],
    block: Float[Tensor, "row some_test"],
) -> None:
    """Add a block at some rows and some columns, in place; both are distinct."""
    if len(tests) == total.shape[1]:
        total.index_add_(0, rows, block)
    else:
        total[rows[:, None], tests] += block
