"""Rows of tables meet where their ids are equal: look-ups of test triples by id, and products of the rows that meet."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.run_products import products_by_run
from tracin_dask.influence.tiling import tiling_of

_SHARE_OF_ITS_OWN = 8
"""An id that at least one in so many test triples holds has a product of its own."""


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

    @cached_property
    def groups(self) -> "list[SameSize]":
        """List the ids that are held by up to one test triple, by up to two, four, and so on, with these.

        An id that many of the test triples hold is by itself.
        """
        number, counts = len(self._slot_of_test), np.bincount(self._slot_of_test, minlength=len(self._ids))
        size = 2 ** np.ceil(np.log2(np.maximum(counts, 1))).astype(np.int64)
        size = np.where(counts * _SHARE_OF_ITS_OWN > number, -1 - np.arange(len(counts)), size)
        order = np.argsort(self._slot_of_test, kind="stable")
        starts, found, first = np.cumsum(counts) - counts, list[SameSize](), 0
        for one in np.unique(size).tolist():
            slots = np.flatnonzero(size == one)
            column = np.arange(counts[slots].max())
            place = np.minimum(starts[slots, None] + column, number - 1)
            tests = np.where(column < counts[slots, None], order[place], number)
            found.append(SameSize(first=first, ids=self._ids[slots], tests=tests))
            first += len(slots)
        return found

    @cached_property
    def place_of_id(self) -> Int[ndarray, " id"]:
        """Number the ids that are held in the order of the groups; -1 for the others."""
        place = np.full(len(self._slot_of_id), -1)
        for group in self.groups:
            place[group.ids] = group.first + np.arange(len(group.ids))
        return place

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
class SameSize:
    """Ids that about as many test triples hold."""

    first: int
    """How many ids are in the groups before this one."""
    ids: Int[ndarray, " id"]
    tests: Int[ndarray, "id most"]
    """The test triples of each id, ascending; filled up with their number."""


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
    """Add the same for relations, which many rows share: rows meet only the test triples of their own relation."""
    device, place_of_id = total.device, index.place_of_id
    place = place_of_id[mine.ids]
    order = np.flatnonzero(place >= 0)
    order = order[np.argsort(place[order], kind="stable")]
    lengths, place = np.bincount(place[order], minlength=len(place_of_id)), place[order]
    grouped = mine.vectors.index_select(0, send(order, device))
    rows = send(order if mine.rows is None else mine.rows[order], device)
    with_zero = torch.cat([test_vectors, test_vectors.new_zeros(1, test_vectors.shape[1])])
    for group in index.groups:
        of_ids = slice(group.first, group.first + len(group.tests))
        some = slice(*np.searchsorted(place, [of_ids.start, of_ids.stop]).tolist())
        tests = send(group.tests, device)
        matrices = with_zero.index_select(0, tests.flatten()).view(*tests.shape, -1).transpose(1, 2)
        block = products_by_run(
            grouped[some], matrices, lengths[of_ids], precision=Precision.FULL, tiling=tiling_of(device)
        )
        if len(tests) == 1:
            add_block(total, rows[some], tests[0], block)
        else:
            columns = tests.index_select(0, send(place[some] - group.first, device))
            add_at(total, rows[some], columns, block)


def add_at(
    total: Float[Tensor, "batch test"],
    rows: Int[Tensor, " row"],
    columns: Int[Tensor, "row some_test"],
    block: Float[Tensor, "row some_test"],
) -> None:
    """Add numbers at some rows, each at columns of its own, in place; what is behind the last column is 0."""
    width, step = total.shape[1], total.stride(0)
    flat = total.as_strided((len(total) * step - step + width,), (1,))
    flat.index_add_(0, (columns.clamp(max=width - 1) + rows[:, None] * step).flatten(), block.flatten())


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
