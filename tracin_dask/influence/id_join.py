"""Rows of tables meet where their ids are equal: look-ups of test triples by id, and products of the rows that meet."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.run_products import Multiplied, RunIndex, index_runs, products_by_run
from tracin_dask.influence.tiling import tiling_of

_SHARE_OF_ITS_OWN = 8
"""An id that at least one in so many test triples holds has a product of its own."""


def is_same(left: Int[Tensor, "*stack row"], right: Int[Tensor, "*stack column"]) -> Bool[Tensor, "*stack row column"]:
    """Compare every id on the left with every id on the right."""
    return left[..., :, None] == right[..., None, :]


def products_where_equal(
    left: Float[Tensor, "triple gradient width"],
    right: Float[Tensor, "triple gradient width"],
    left_ids: Int[Tensor, "triple gradient"],
    right_ids: Int[Tensor, "triple gradient"],
) -> Float[Tensor, "triple gradient gradient"]:
    """Multiply the rows of each triple's gradients with each other where both are gradients of the same row."""
    return (left @ right.transpose(1, 2)) * is_same(left_ids, right_ids)


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
class Joined:
    """The rows of a batch that meet test triples, as its index arrays."""

    vectors: IndexArray
    """The vector of each row: [match]."""
    rows: IndexArray
    """The triple of each row: [match]."""
    row_slots: IndexArray
    tests: IndexArray
    """The test triples that are met: [test_match]."""
    test_slots: IndexArray
    """A row meets a test triple where the slots are equal."""


def join(
    index: IdIndex,
    ids: Int[ndarray, " row"],
    arrays: IndexArrays,
    *,
    rows: Int[ndarray, " row"] | None = None,
    vector_of_row: Int[ndarray, " row"] | None = None,
) -> Joined | None:
    """Find the ids of some rows that test triples hold, too; None if there are none.

    `rows` are the triples of the ids, None if they are all triples in order; `vector_of_row` are their vectors, None if
    these are in the order of the ids.
    """
    found = index.matches(ids)
    if found is None:
        return None
    return Joined(
        vectors=arrays.put(found.rows if vector_of_row is None else vector_of_row[found.rows]),
        rows=arrays.put(found.rows if rows is None else rows[found.rows]),
        row_slots=arrays.put(found.row_slots),
        tests=arrays.put(found.tests),
        test_slots=arrays.put(found.test_slots),
    )


def add_where_equal(
    total: Float[Tensor, "batch test"],
    found: Joined | None,
    vectors: Float[Tensor, "vector width"],
    test_vectors: Float[Tensor, "test width"],
) -> None:
    """Add the inner products of embedding rows' gradients with those of the test triples where the ids are equal.

    Only rows and columns whose id occurs on the other side enter the product: its cost follows the matches.
    """
    if found is None:
        return
    tests = found.tests.tensor
    block = vectors[found.vectors.tensor] @ test_vectors[tests].T
    block *= is_same(found.row_slots.tensor, found.test_slots.tensor)
    add_block(total, found.rows.tensor, tests, block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """The rows of a batch that meet test triples, brought together by their ids."""

    vectors: IndexArray
    """The vector of each row: [match]."""
    rows: IndexArray
    """The triple of each row: [match]."""
    groups: tuple["SomeRows", ...]
    """Those of every group of the look-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeRows:
    """The rows of a batch whose ids are in one group."""

    some: slice
    """Their places among all that meet a test triple."""
    runs: RunIndex
    """One run for each id of the group."""
    id_of_row: IndexArray
    """The id of each row, numbered within the group: [some]."""


def group(
    index: IdIndex,
    ids: Int[ndarray, " row"],
    arrays: IndexArrays,
    *,
    rows: Int[ndarray, " row"] | None,
    of: Multiplied,
) -> Grouped:
    """Bring rows together that hold the same id, if test triples hold it; takes the same `rows` as `join`."""
    place = index.place_of_id[ids]
    order = np.flatnonzero(place >= 0)
    order = order[np.argsort(place[order], kind="stable")]
    lengths, place = np.bincount(place[order], minlength=len(index.place_of_id)), place[order]
    groups = []
    for one in index.groups:
        of_ids = slice(one.first, one.first + len(one.tests))
        some = slice(*np.searchsorted(place, [of_ids.start, of_ids.stop]).tolist())
        runs, id_of_row = index_runs(lengths[of_ids], of, arrays), arrays.put(place[some] - one.first)
        groups.append(SomeRows(some=some, runs=runs, id_of_row=id_of_row))
    return Grouped(
        vectors=arrays.put(order),
        rows=arrays.put(order if rows is None else rows[order]),
        groups=tuple(groups),
    )


class GroupedTests:
    """Vectors of the test triples, brought together by their ids once for all batches."""

    def __init__(self, index: IdIndex, test_vectors: Float[Tensor, "test width"]) -> None:
        """Gather them on their device: a matrix for each id, with columns of zeros where others have more."""
        with_zero = torch.cat([test_vectors, test_vectors.new_zeros(1, test_vectors.shape[1])])
        self._groups: list[tuple[Tensor, Tensor]] = []
        for one in index.groups:
            tests = send(one.tests, test_vectors.device)
            matrices = with_zero.index_select(0, tests.flatten()).view(*tests.shape, -1)
            self._groups.append((tests, matrices.transpose(1, 2)))

    def add(self, total: Float[Tensor, "batch test"], found: Grouped, vectors: Float[Tensor, "vector width"]) -> None:
        """Add the same as `add_where_equal` where many rows share an id: they meet the test triples of that id only."""
        grouped, rows = vectors.index_select(0, found.vectors.tensor), found.rows.tensor
        for mine, (tests, matrices) in zip(found.groups, self._groups, strict=True):
            block = products_by_run(
                grouped[mine.some], matrices, mine.runs, precision=Precision.FULL, tiling=tiling_of(total.device)
            )
            if len(tests) == 1:
                add_block(total, rows[mine.some], tests[0], block)
            else:
                add_at(total, rows[mine.some], tests.index_select(0, mine.id_of_row.tensor), block)


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
