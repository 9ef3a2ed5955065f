"""Totals of groups are the exact sums of their influences, whatever the order in which rows are added and merged."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from influence.live_bytes import LiveBytes
from influence.scored import add

from tracin_dask.errors import NonFiniteError
from tracin_dask.influence import devices
from tracin_dask.influence.reductions import group_totals
from tracin_dask.influence.reductions.base import Sizes
from tracin_dask.influence.reductions.group_totals import GroupSums, GroupTotals, merge
from tracin_dask.runs.inputs.groupings import PartGroups

NUM_GROUPS, NUM_TESTS = 4, 3
ROUNDED_AWAY = 2.0**-81
"""Of every influence."""
ROUNDED_SUM = 2.0**-52
"""Of a sum, relative to it."""


@st.composite
def influences_and_groups(draw, dtype=np.float64):
    """Draw influences of many sizes, some equal to 0, and a group for each row; the last group has none."""
    num_rows = draw(st.integers(0, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = 10.0 ** random.uniform(draw(st.sampled_from([-30, -12, -3])), draw(st.sampled_from([-3, 0, 9])), num_rows)
    values = random.normal(size=(num_rows, NUM_TESTS)) * sizes[:, None]
    values[random.random(values.shape) < 0.1] = 0.0
    return values.astype(dtype), random.integers(NUM_GROUPS - 1, size=num_rows)


def summed(values, groups, cuts=()) -> GroupTotals:
    sums = GroupSums([NUM_GROUPS], NUM_TESTS)
    for part in np.split(np.arange(len(values)), cuts):
        add(sums, torch.from_numpy(values[part]), numbers=[groups[part]])
    return sums.finish()[0]


def bits(totals: GroupTotals) -> list[bytes]:
    return [totals.groups.tobytes(), totals.num_triples.tobytes(), totals.digits.tobytes()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_group_totals_are_within_the_stated_bound_of_the_sums(dtype, data):
    values, groups = data.draw(influences_and_groups(dtype))
    totals = summed(values, groups)
    assert totals.groups.tolist() == np.unique(groups).tolist()
    for place, group in enumerate(totals.groups):
        rows = groups == group
        assert totals.num_triples[place] == rows.sum()
        for test in range(NUM_TESTS):
            column = values[rows, test].astype(np.float64)
            parts = {"positive": column[column > 0], "negative": column[column < 0], "net": column}
            for name, part in parts.items():
                found, exact = getattr(totals, name)(test)[place], math.fsum(part)
                assert abs(found - exact) <= len(part) * ROUNDED_AWAY + ROUNDED_SUM * abs(exact)


def test_float32_influences_that_are_not_tiny_are_summed_exactly():
    values = np.float32(10.0) ** np.random.default_rng(0).uniform(-16, 3, (500, NUM_TESTS)).astype(np.float32)
    values[::3] *= -1
    totals = summed(values, np.zeros(500, np.int64))
    for test in range(NUM_TESTS):
        digits = totals.digits[:, 0, :, test].tolist()
        for sign, is_mine in enumerate((values > 0, values < 0)):
            exact = sum(map(Fraction, values[is_mine[:, test], test].tolist()))
            assert sum(Fraction(digit[sign], 2 ** (40 * place)) for place, digit in enumerate(digits)) == exact


@given(influences_and_groups(), st.data())
def test_order_and_batches_change_no_bit_of_group_totals(case, data):
    values, groups = case
    whole = summed(values, groups)
    order = np.array(data.draw(st.permutations(range(len(values)))), dtype=np.int64)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3)))
    assert bits(summed(values[order], groups[order], cuts)) == bits(whole)
    parts = [summed(values[rows], groups[rows]) for rows in np.split(order, cuts)]
    assert bits(merge(parts[::-1])) == bits(whole)
    assert bits(merge([merge(parts[:1]), *parts[1:]])) == bits(whole)


def test_carries_change_no_bit_of_group_totals(monkeypatch):
    random = np.random.default_rng(1)
    values, groups = random.normal(size=(200, NUM_TESTS)), random.integers(NUM_GROUPS, size=200)
    whole = summed(values, groups)
    monkeypatch.setattr(group_totals, "MOST_UNCARRIED", 16)
    for name in ("ELEMENTS_AT_A_TIME", "ON_DEVICE"):
        monkeypatch.setattr(group_totals, name, 7)
    assert bits(summed(values, groups, range(10, 200, 10))) == bits(whole)


def test_digits_hold_all_largest_influences_between_two_carries():
    just_below = np.nextafter(group_totals.LARGEST_INFLUENCE, 0)
    added = group_totals.MOST_UNCARRIED * (math.trunc(just_below) + 1)
    assert 8 * (group_totals.LARGEST_TOTAL + added) < 2**63
    assert group_totals.MOST_UNCARRIED * 2**40 + 2**39 < 2**63
    values = np.full((5, NUM_TESTS), just_below)
    assert summed(values, np.zeros(5, np.int64)).positive(0).tolist() == [math.fsum([just_below] * 5)]


def test_several_groupings_are_summed_in_one_pass():
    values = np.arange(12.0).reshape(4, NUM_TESTS) - 5
    sums = GroupSums([2, 3], NUM_TESTS)
    add(sums, torch.from_numpy(values), numbers=[np.array([0, 0, 1, 1]), np.array([2, 0, 2, 2])])
    first, second = sums.finish()
    assert first.net(0).tolist() == [-7.0, 5.0]
    assert first.negative(0).tolist() == [-7.0, 0.0]
    assert first.positive(0).tolist() == [0.0, 5.0]
    assert (second.groups.tolist(), second.num_triples.tolist()) == ([0, 2], [1, 3])
    assert second.positive(2).tolist() == [0.0, 9.0]
    assert second.negative(2).tolist() == [0.0, -3.0]
    assert values.tolist() == (np.arange(12.0).reshape(4, NUM_TESTS) - 5).tolist()  # left as they were


def test_summing_groups_takes_the_counted_bytes(monkeypatch):
    monkeypatch.setattr(group_totals, "ELEMENTS_AT_A_TIME", 1 << 10)
    num_groups, num_tests = 1000, 50
    sums, influences = GroupSums([num_groups], num_tests), torch.ones(num_groups, num_tests)
    with LiveBytes() as live:
        add(sums, influences, numbers=[np.arange(num_groups)])
        sums._carry()
    few = 12 * 8 * (1 << 10)
    assert 0 < group_totals.sums_bytes(num_groups, num_tests) - live.peak_bytes + few < 2 * few
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    with LiveBytes() as live:
        add(
            GroupSums([num_groups, 3], num_tests),
            influences,
            numbers=[np.arange(num_groups), np.arange(num_groups) % 3],
        )
    groupings = (PartGroups(part="head", num_groups=num_groups), PartGroups(part="relation", num_groups=3))
    held = group_totals.GroupTotalsReduction(groupings=groupings).held(
        Sizes(num_columns=num_tests, batch_size=num_groups)
    )
    assert live.peak_bytes <= held.on_device <= 1.3 * live.peak_bytes
    totals = sums.finish()[0]
    assert totals.num_bytes == group_totals.totals_bytes(num_groups, num_tests)


def test_no_rows_give_no_groups():
    totals = summed(np.empty((0, NUM_TESTS)), np.empty(0, np.int64))
    assert len(totals) == 0
    assert totals.positive(0).tolist() == []
    assert bits(merge([totals, totals])) == bits(totals)


def test_an_influence_too_large_for_exact_sums_is_refused():
    for value in (2.0**36, -(2.0**36), 1e300):
        with pytest.raises(NonFiniteError, match=r"beyond 6.87e\+10, up to which groups .* are added up exactly"):
            summed(np.full((1, NUM_TESTS), value), np.zeros(1, np.int64))


def test_a_total_too_large_for_exact_sums_is_refused(monkeypatch):
    monkeypatch.setattr(group_totals, "LARGEST_TOTAL", 1 << 36)
    almost = np.full((1, NUM_TESTS), -(2.0**36 - 1))
    part = summed(almost, np.zeros(1, np.int64))
    with pytest.raises(NonFiniteError, match=r"sum up to 1.37e\+11 or more, beyond 6.87e\+10"):
        merge([part, part])
    with pytest.raises(NonFiniteError, match=r"sum up to 1.37e\+11 or more"):
        summed(np.repeat(almost, 2, axis=0), np.zeros(2, np.int64))


def test_a_total_that_was_too_large_at_a_carry_is_refused_at_the_end(monkeypatch):
    monkeypatch.setattr(group_totals, "LARGEST_TOTAL", 1 << 36)
    monkeypatch.setattr(group_totals, "MOST_UNCARRIED", 2)
    sums, almost = GroupSums([1], 1), torch.full((2, 1), 2.0**36 - 1, dtype=torch.float64)
    for values in (almost, almost[:1]):
        add(sums, values, numbers=[np.zeros(len(values), np.int64)])
    sums._digits[0].zero_()  # as after a sum beyond 64 bits
    with pytest.raises(NonFiniteError, match=r"sum up to 1.37e\+11 or more"):
        sums.finish()
