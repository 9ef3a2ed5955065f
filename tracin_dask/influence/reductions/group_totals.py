"""Sums of the positive and of the negative influences of groups of training triples, added up without rounding.

Every influence is cut into three whole numbers, of the units 1, 2⁻⁴⁰ and 2⁻⁸⁰, and whole numbers are added: so totals
are equal to the last bit in whatever order rows are scored and outcomes merged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int, Int64
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import NonFiniteError
from tracin_dask.identity import Json
from tracin_dask.influence import devices
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.reductions.base import (
    Arrays,
    Held,
    Needs,
    RowIds,
    RowNumbers,
    ScoredBatch,
    Sizes,
    Start,
)

DIGITS, DIGIT_BITS = 3, 40
BASE = 2.0**DIGIT_BITS
LARGEST_INFLUENCE = 2.0**36
"""A digit of 64 bits takes in 2²² of them."""
LARGEST_TOTAL = 1 << 59
"""Of the first digit; eight such outcomes can be merged."""
MOST_UNCARRIED = 1 << 22
"""Rows after which what a digit has beyond 40 bits is carried to the one before it."""
ELEMENTS_AT_A_TIME = 1 << 16
"""Influences that are cut at a time: all that this takes stays in a processor's cache."""
ON_DEVICE = 1 << 24
"""The same on a device that the host does not wait for, where each operator is a launch."""
ELEMENT_BYTES = 40
"""Of each influence on such a device while it is cut; further groupings take 8 each."""
POSITIVE, NEGATIVE = 0, 1
NAME = "group_by"
GROUPS_REMEDY = "fewer groups (--group-by), or fewer test triples at a time"
Digits = TypeVar("Digits", Tensor, ndarray)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTotals:
    """The totals of the groups that have training triples, as whole numbers that can be merged exactly.

    Of every influence what is below 2⁻⁸⁰ was rounded away, at most 2⁻⁸¹; nothing else is lost before `positive` and
    `negative` round a sum to a float64. So these are within n · 2⁻⁸¹ + 2⁻⁵² · |total| of the sums of n influences.
    """

    groups: Int[ndarray, " group"]
    """Numbers of the groups, ascending."""
    num_triples: Int[ndarray, " group"]
    """How many training triples each has."""
    digits: Int64[ndarray, "digit group sign test"]
    """Of the positive and of the negative influences; all but the first are from -2³⁹ to below 2³⁹."""

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.groups)

    @property
    def num_bytes(self) -> int:
        """Bytes of all arrays."""
        return self.groups.nbytes + self.num_triples.nbytes + self.digits.nbytes

    def positive(self, test_index: int) -> Float64[ndarray, " group"]:
        """Sum the positive influences on a test triple, by group."""
        return _whole(self.digits[:, :, POSITIVE, test_index])

    def negative(self, test_index: int) -> Float64[ndarray, " group"]:
        """Sum the negative influences on a test triple, by group."""
        return _whole(self.digits[:, :, NEGATIVE, test_index])

    def net(self, test_index: int) -> Float64[ndarray, " group"]:
        """Sum all influences on a test triple, by group: rounded once, and not the sum of two rounded numbers."""
        both = self.digits[:, :, :, test_index].sum(axis=2)
        _carry(both)
        return _whole(both)


_TOTALS_ARRAYS = tuple(field.name for field in fields(GroupTotals))


@runtime_checkable
class NumberedGroups(RowNumbers, Protocol):
    """Groups of training triples, numbered from 0."""

    @property
    def num_groups(self) -> int:
        """How many there are."""
        ...

    @property
    def identity(self) -> Json:
        """What tells them from others."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTotalsReduction:
    """Keeps the totals of groups of training triples, by one or several groupings."""

    groupings: tuple[NumberedGroups, ...]

    @property
    def name(self) -> str:
        """The name of the outcome."""
        return NAME

    @property
    def identity(self) -> Json:
        """What the outcome depends on."""
        return [grouping.identity for grouping in self.groupings]

    @property
    def needs(self) -> Needs:
        """The group of every row."""
        return Needs(numbers=self.groupings, index=index_groups)

    def held(self, sizes: Sizes) -> Held:
        """Count the sums, which are held together with the influences, and the totals."""
        number = sum(grouping.num_groups for grouping in self.groupings)
        sums, totals = sums_bytes(number, sizes.num_columns), totals_bytes(number, sizes.num_columns)
        each = ELEMENT_BYTES + 8 * (len(self.groupings) - 1)
        cut = each * min(sizes.batch_size * sizes.num_columns, max(ON_DEVICE, sizes.num_columns))
        return Held(stream=sums, on_device=sums + cut, outcome=totals, what="the groups", remedy=GROUPS_REMEDY)

    def start(self, given: Start[tuple[GroupTotals, ...]]) -> "GroupSums":
        """Start on the rows of a task."""
        return GroupSums([grouping.num_groups for grouping in self.groupings], given.num_columns)

    def merge(self, outcomes: Sequence[tuple[GroupTotals, ...]]) -> tuple[GroupTotals, ...]:
        """Merge the totals of different rows, grouping by grouping; raises as `merge` of the module."""
        return tuple(map(merge, zip(*outcomes, strict=True)))

    def pack(self, outcome: tuple[GroupTotals, ...]) -> Arrays:
        """Give the arrays of every grouping."""
        numbered = enumerate(outcome)
        return {f"{place}_{name}": getattr(totals, name) for place, totals in numbered for name in _TOTALS_ARRAYS}

    def unpack(self, arrays: Arrays) -> tuple[GroupTotals, ...]:
        """Put the arrays together."""
        return tuple(
            GroupTotals(**{name: arrays[f"{place}_{name}"] for name in _TOTALS_ARRAYS})
            for place in range(len(self.groupings))
        )


def index_groups(ids: RowIds, arrays: IndexArrays) -> tuple[IndexArray, ...]:
    """Put the group of each row in every grouping among the index arrays: [row] each."""
    return tuple(arrays.put(numbers) for numbers in ids.numbers)


class GroupSums:
    """Adds up batch after batch, by one or several groupings; memory is bounded by groups and test triples."""

    def __init__(self, num_groups: Sequence[int], num_tests: int) -> None:
        """Start with no rows."""
        self._num_tests = num_tests
        self._num_triples = [np.zeros(number, np.int64) for number in num_groups]
        self._digits: list[Tensor] = []
        self._largest: Tensor | None = None
        self._largest_total: Tensor | None = None
        self._uncarried = 0

    def add(self, batch: ScoredBatch) -> None:
        """Take in a batch; its `numbers` are the group of each row in every grouping. The device is not waited for."""
        influences, groups = batch.influences, batch.numbers
        if self._largest is None:
            self._start(influences.device)
        if self._uncarried + len(influences) > MOST_UNCARRIED:
            self._carry()
        self._uncarried += len(influences)
        for num_triples, numbers in zip(self._num_triples, groups, strict=True):
            np.add.at(num_triples, numbers, 1)
        sent = [numbers.tensor for numbers in batch.indexed_by(index_groups)]
        is_ahead = devices.computes_ahead(influences.device)
        step = max(1, (ON_DEVICE if is_ahead else ELEMENTS_AT_A_TIME) // self._num_tests)
        for start in range(0, len(influences), step):
            rows = slice(start, start + step)
            self._add(influences[rows].to(torch.float64, copy=True), [numbers[rows] for numbers in sent])

    def finish(self) -> tuple[GroupTotals, ...]:
        """Give the totals of all batches, by grouping.

        Raises
        ------
        NonFiniteError
            If an influence or a total is too large to be added exactly.
        """
        if self._largest is None:
            self._start(torch.device("cpu"))
        self._carry()
        self._refuse_inexact()
        found = []
        for num_triples, digits in zip(self._num_triples, self._digits, strict=True):
            groups = np.flatnonzero(num_triples)
            chosen = digits.cpu().numpy()[:, groups]
            found.append(GroupTotals(groups=groups, num_triples=num_triples[groups], digits=chosen))
        return tuple(found)

    def _start(self, device: torch.device) -> None:
        self._digits = [
            torch.zeros(DIGITS, len(num_triples), 2, self._num_tests, dtype=torch.int64, device=device)
            for num_triples in self._num_triples
        ]
        self._largest = torch.zeros((), dtype=torch.float64, device=device)
        self._largest_total = torch.zeros((), dtype=torch.int64, device=device)

    def _add(self, values: Float64[Tensor, "row test"], groups: Sequence[Int[Tensor, " row"]]) -> None:
        """Add some rows to the sums of their groups, positive and negative ones apart; works in place."""
        assert self._largest is not None  # noqa: S101 - `_start` sets it
        torch.maximum(self._largest, values.abs().amax(), out=self._largest)
        is_negative = values < 0
        tests = torch.arange(self._num_tests, device=values.device)
        places = [((2 * numbers[:, None] + is_negative) * self._num_tests + tests).view(-1) for numbers in groups]
        for number in range(DIGITS):
            digit = values.trunc() if number < DIGITS - 1 else values.round()
            whole = digit.long().view(-1)
            for sums, place in zip(self._digits, places, strict=True):
                sums[number].view(-1).index_add_(0, place, whole)
            values.sub_(digit).mul_(BASE)

    def _carry(self) -> None:
        """Carry, after a few million rows, and note the largest total before it can be beyond 64 bits."""
        assert self._largest_total is not None  # noqa: S101 - `_start` sets it
        self._uncarried = 0
        for digits in self._digits:
            _carry(digits)
            torch.maximum(self._largest_total, digits[0].abs().amax(), out=self._largest_total)

    def _refuse_inexact(self) -> None:
        """Refuse what was too large to be added exactly, now or at any time before."""
        assert self._largest is not None and self._largest_total is not None  # noqa: S101, PT018 - `_start` sets them
        largest = float(self._largest)
        if not largest < LARGEST_INFLUENCE:
            raise NonFiniteError(
                f"an influence of {largest:.3g} is beyond {LARGEST_INFLUENCE:.3g}, up to which groups of training "
                "triples are added up exactly; look at the checkpoint's weights, or give a smaller learning rate"
            )
        _refuse_too_large(int(self._largest_total))


def merge(parts: Sequence[GroupTotals]) -> GroupTotals:
    """Merge the totals of different rows; associative and commutative, to the last bit.

    Raises
    ------
    NonFiniteError
        If a total is too large to be added exactly.
    """
    together = np.concatenate([part.groups for part in parts])
    together.sort(kind="stable")  # merges what is sorted, and so takes less time than to find what is unique
    groups = together[np.diff(together, prepend=-1) > 0]
    num_triples = np.zeros(len(groups), np.int64)
    digits = np.zeros((DIGITS, len(groups), *parts[0].digits.shape[2:]), np.int64)
    for part in parts:
        place = np.searchsorted(groups, part.groups)
        num_triples[place] += part.num_triples
        for number in range(DIGITS):
            digits[number, place] += part.digits[number]
    _carry(digits)
    _refuse_too_large(int(np.abs(digits[0]).max(initial=0)))
    return GroupTotals(groups=groups, num_triples=num_triples, digits=digits)


def sums_bytes(num_groups: int, num_tests: int) -> int:
    """Count the bytes that adding up takes: one digit is held twice while it is carried."""
    return 8 * num_groups * (1 + 2 * (DIGITS + 1) * num_tests)


def totals_bytes(num_groups: int, num_tests: int) -> int:
    """Bound the bytes of the totals of so many groups, which have training triples."""
    return 8 * num_groups * (2 + 2 * DIGITS * num_tests)


def _carry(digits: Digits) -> None:
    """Carry what a digit has beyond its bits to the one before it, in place but for one digit."""
    for number in range(DIGITS - 1, 0, -1):
        carried = digits[number] + (1 << DIGIT_BITS - 1)
        carried >>= DIGIT_BITS
        digits[number - 1] += carried
        carried <<= DIGIT_BITS
        digits[number] -= carried
        del carried  # before the next one is made


def _whole(digits: Int64[ndarray, "digit group"]) -> Float64[ndarray, " group"]:
    """Put the digits together, from the smallest to the largest."""
    total = np.zeros(digits.shape[1])
    for digit in digits[::-1]:
        total = total / BASE + digit
    return total


def _refuse_too_large(largest: int) -> None:
    if largest >= LARGEST_TOTAL:
        raise NonFiniteError(
            f"the influences of a group of training triples sum up to {largest:.3g} or more, beyond {LARGEST_TOTAL:.3g}"
            ", up to which they are added up exactly; look at the checkpoint's weights, or give a smaller learning rate"
        )
