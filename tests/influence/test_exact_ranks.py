"""Counted ranks are those in one sorted list of all influences, however rows are cut, ordered and tied."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from influence.live_bytes import LiveBytes
from influence.scored import add

from tracin_dask.influence import devices
from tracin_dask.influence.finite import LateCheck
from tracin_dask.influence.reductions import exact_ranks
from tracin_dask.influence.reductions.base import Sizes, Start, scored_batch
from tracin_dask.influence.reductions.exact_ranks import ExactRanksReduction, RankCounts

RANK_BY = ("absolute", "proponents", "opponents")


@st.composite
def listed_rows(draw):
    """Draw influences with many ties, an order of the training file, some listed rows, and cuts."""
    num_rows, num_columns = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    few = st.sampled_from([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0])
    values = draw(st.lists(few, min_size=num_rows * num_columns, max_size=num_rows * num_columns))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    influences = np.array(values, dtype).reshape(num_rows, num_columns)
    train_index = 3 * np.array(draw(st.permutations(range(num_rows))), np.int64)
    rows = draw(st.lists(st.integers(0, num_rows - 1), min_size=1, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, num_rows), max_size=4)))
    return influences, train_index, np.array(rows), cuts


def by_sorting(influences, train_index, rank_by):
    """Rank all rows of every column by one sort."""
    cost = {"absolute": -np.abs(influences), "proponents": -influences, "opponents": influences}[rank_by]
    order = np.lexsort((np.broadcast_to(train_index[:, None], cost.shape), cost), axis=0)
    ranks = np.empty(cost.shape, np.int64)
    np.put_along_axis(ranks, order, np.arange(1, len(cost) + 1)[:, None], axis=0)
    return ranks


def counted(reduction: ExactRanksReduction, influences, train_index, parts) -> RankCounts:
    stream = reduction.start(Start(num_columns=influences.shape[1], influences=influences[reduction.rows]))
    for rows in parts:
        add(stream, torch.from_numpy(influences[rows]), train_index=train_index[rows], rows=rows)
    return stream.finish()


@pytest.mark.parametrize("on_device", [False, True], ids=["on the host", "on a device"])
@pytest.mark.parametrize("rank_by", RANK_BY)
@given(case=listed_rows())
def test_ranks_are_those_of_one_sort(rank_by, on_device, case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "computes_ahead", lambda _: on_device)
        assert_sorted_ranks(rank_by, case)


def assert_sorted_ranks(rank_by, case) -> None:
    influences, train_index, rows, cuts = case
    reduction = ExactRanksReduction(rows=rows, train_index=train_index[rows], rank_by=rank_by)
    expected = by_sorting(influences, train_index, rank_by)[rows]
    parts = np.split(np.arange(len(influences)), cuts)
    whole = counted(reduction, influences, train_index, parts)
    assert whole.not_behind.tolist() == expected.tolist()
    assert whole.influence.tobytes() == influences[rows].tobytes()
    merged = reduction.merge([counted(reduction, influences, train_index, [part]) for part in reversed(parts)])
    assert merged.not_behind.tolist() == expected.tolist()


def test_small_pieces_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    influences, train_index = random.normal(size=(500, 3)).round(1), random.permutation(500)
    rows = random.choice(500, 60, replace=False)
    monkeypatch.setattr(exact_ranks, "ELEMENTS_AT_A_TIME", 50)
    reduction = ExactRanksReduction(rows=rows, train_index=train_index[rows], rank_by="absolute")
    found = counted(reduction, influences, train_index, np.split(np.arange(500), 5))
    assert found.not_behind.tolist() == by_sorting(influences, train_index, "absolute")[rows].tolist()


def test_a_listed_row_counts_by_its_known_influence_where_the_pass_differs_in_the_last_bit():
    influences, train_index = np.array([[1.0], [0.5], [2.0]]), np.arange(3)
    reduction = ExactRanksReduction(rows=np.array([1]), train_index=np.array([1]), rank_by="absolute")
    stream = reduction.start(Start(num_columns=1, influences=influences[[1]]))
    passed = torch.tensor([[1.0], [np.nextafter(0.5, 0)], [2.0]], dtype=torch.float64)
    add(stream, passed, train_index=train_index)
    assert stream.finish().not_behind.tolist() == [[3]]


@pytest.mark.parametrize("elements", [1 << 20, 1000])
def test_counting_ranks_on_a_device_takes_the_counted_bytes(elements, monkeypatch):
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    monkeypatch.setattr(exact_ranks, "ON_DEVICE", elements)
    random = np.random.default_rng(0)
    influences, train_index, rows = random.normal(size=(2000, 5)), np.arange(2000), np.arange(0, 2000, 100)
    reduction = ExactRanksReduction(rows=rows, train_index=rows, rank_by="absolute")
    stream = reduction.start(Start(num_columns=5, influences=influences[rows]))
    batch = scored_batch(
        torch.from_numpy(influences),
        triples=np.zeros((2000, 3), np.int64),
        train_index=train_index,
        rows=train_index,
        late=LateCheck(),
    )
    with LiveBytes() as live:
        stream.add(replace(batch, is_ranked=batch.influences > 0))
    counted = reduction.held(Sizes(num_columns=5, batch_size=2000)).on_device
    assert 0.8 * counted < live.peak_bytes <= counted


def test_ranks_survive_their_record():
    outcome = RankCounts(influence=np.array([[0.5, 1.0]], np.float32), not_behind=np.array([[3, 4]]))
    reduction = ExactRanksReduction(rows=np.array([7]), train_index=np.array([2]), rank_by="absolute")
    found = reduction.unpack(reduction.pack(outcome))
    assert (found.influence.tobytes(), found.influence.dtype) == (outcome.influence.tobytes(), np.float32)
    assert found.not_behind.tolist() == [[3, 4]]


def test_another_list_or_order_is_another_outcome():
    def identity(rows, rank_by):
        return ExactRanksReduction(rows=np.array(rows), train_index=np.array(rows), rank_by=rank_by).identity

    assert identity([1, 2], "absolute") == identity([1, 2], "absolute")
    assert identity([1, 2], "absolute") != identity([1, 3], "absolute")
    assert identity([1, 2], "absolute") != identity([1, 2], "opponents")
