"""The best k of each relation, streamed and merged, equal a sort of everything that is cut by relation."""

import itertools
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from influence.calls import Calls
from influence.live_bytes import LiveBytes

from tracin_dask.influence import devices
from tracin_dask.influence.reductions import topk, topk_per_relation_on_device
from tracin_dask.influence.reductions.base import ScoredBatch, Sizes, Start, scored_batch
from tracin_dask.influence.reductions.ranked import ranked_part
from tracin_dask.influence.reductions.topk_per_relation import RelationTopKReduction
from tracin_dask.influence.reductions.topk_per_relation_on_device import DeviceRelationTopKStream
from tracin_dask.influence.reductions.topk_per_relation_on_host import RelationTopKStream

NUM_RELATIONS = 3
KINDS = [RelationTopKStream, DeviceRelationTopKStream]
KEYS = {
    "absolute": lambda value: -abs(value),
    "proponents": lambda value: -value,
    "opponents": lambda value: value,
}


@st.composite
def cases(draw) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray, int, list[int]]:
    """Draw influences with many ties, relations, a training order, what is ranked, k, and where rows are cut."""
    num_rows, num_tests, k = draw(st.integers(0, 40)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    influences = random.choice([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], (num_rows, num_tests))
    relations = random.choice(NUM_RELATIONS, num_rows, p=[0.7, 0.25, 0.05])
    ranked = random.random((num_rows, num_tests)) < draw(st.sampled_from([0.3, 1.1]))
    cuts = sorted(draw(st.lists(st.integers(0, num_rows), max_size=4)))
    order = random.permutation(num_rows)
    return torch.tensor(influences, dtype=torch.float32), relations, order, ranked, k, cuts


def batch_of(case, start: int, stop: int) -> ScoredBatch | None:
    influences, relations, order, ranked, _, _ = case
    some = slice(start, stop)
    triples = np.stack([order[some], relations[some], order[some] + 100], axis=1)
    rows = np.arange(start, stop)
    batch = scored_batch(influences[some], triples=triples, train_index=order[some], rows=rows)
    return ranked_part(batch, ranked[some].any(axis=1), ranked[some])


def stream(case, parts: list[tuple[int, int]], kind, seen: topk.TopK | None = None, *, skips_zeros=False) -> topk.TopK:
    influences, *_, k, _ = case
    gathered = kind(seen or topk.empty(k, NUM_RELATIONS), influences.shape[1], skips_zeros=skips_zeros)
    if kind is RelationTopKStream:
        for side in gathered._sides:
            side._most_waiting = 5
    for start, stop in parts:
        batch = batch_of(case, start, stop) if start < stop else None
        if batch is not None:
            gathered.add(batch)
    return gathered.finish()


def by_hand(case, test: int, rank_by: str, *, skips_zeros: bool = False) -> list[tuple[float, int]]:
    influences, relations, order, ranked, k, _ = case
    rows = [row for row in range(len(order)) if ranked[row, test]]
    values = {row: float(influences[row, test]) for row in rows}
    keep = {"absolute": lambda value: value != 0 or not skips_zeros, "proponents": lambda v: v > 0}
    keep |= {"opponents": lambda value: value < 0}
    rows = sorted(
        (row for row in rows if keep[rank_by](values[row])), key=lambda row: (KEYS[rank_by](values[row]), order[row])
    )
    left = [row for place, row in enumerate(rows) if sum(relations[rows[:place]] == relations[row]) < k]
    return [(values[row], int(order[row])) for row in left]


def assert_by_hand(top: topk.TopK, case, **options) -> None:
    for test, rank_by in itertools.product(range(case[0].shape[1]), KEYS):
        found = topk.ranked(top, test, rank_by)
        pairs = list(zip(found.influence.tolist(), found.train_index.tolist(), strict=True))
        assert pairs == by_hand(case, test, rank_by, **options)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(case=cases())
def test_streamed_and_merged_in_any_order_equals_a_sort_that_is_cut_by_relation(case, kind):
    bounds = [0, *case[-1], len(case[2])]
    parts = list(itertools.pairwise(bounds))
    whole = stream(case, parts, kind)
    assert_by_hand(whole, case)
    merged = topk.merge([stream(case, [part], kind) for part in reversed(parts)])
    assert_by_hand(merged, case)
    assert_by_hand(topk.unpack(topk.pack(merged)), case)
    first = stream(case, parts[:1], kind)
    assert_by_hand(topk.merge([first, stream(case, parts[1:], kind, seen=first)]), case)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(case=cases())
def test_training_triples_without_influence_stay_out_where_they_are_not_read(case, kind):
    assert_by_hand(stream(case, [(0, len(case[2]))], kind, skips_zeros=True), case, skips_zeros=True)


@settings(max_examples=40)
@given(case=cases(), piece_bytes=st.sampled_from([1, 2**31]))
def test_both_streams_have_the_same_entries(case, piece_bytes):
    parts = list(itertools.pairwise([0, *case[-1], len(case[2])]))
    with patch.object(topk_per_relation_on_device, "PIECE_BYTES", piece_bytes):
        found = [topk.pack(stream(case, parts, kind)) for kind in KINDS]
    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name])


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(0, 300), min_size=1, max_size=5), k=st.integers(1, 20), seed=st.integers(0, 99))
def test_blocks_hold_every_row_once_with_its_relation(lengths, k, seed):
    relations = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(lengths)), lengths))
    blocks = topk_per_relation_on_device.blocks_of(relations, len(lengths), k)
    rows = blocks.place[blocks.place < len(relations)]
    assert sorted(rows.tolist()) == list(range(len(relations)))
    of_block = blocks.list_of_entry[k * len(lengths) :: blocks.number]
    for place, relation in zip(blocks.place, of_block, strict=True):
        assert set(relations[place[place < len(relations)]].tolist()) == {relation}
    ordered = np.sort(blocks.list_of_entry)[blocks.kept]
    assert (ordered == np.repeat(np.arange(len(lengths)), k)).all()


@pytest.mark.parametrize("piece_bytes", [1, 2**31])
@pytest.mark.parametrize(("num_relations", "k"), [(1, 5), (40, 5), (237, 10), (2, 200)])
def test_the_device_takes_about_the_counted_bytes(num_relations, k, piece_bytes, monkeypatch):
    monkeypatch.setattr(topk_per_relation_on_device, "PIECE_BYTES", piece_bytes)
    random, sizes = np.random.default_rng(0), Sizes(num_columns=9, batch_size=5000)
    gathered = DeviceRelationTopKStream(topk.empty(k, num_relations), sizes.num_columns, skips_zeros=True)
    influences, rows = torch.randn(sizes.batch_size, 9, dtype=torch.float64), np.arange(sizes.batch_size)
    triples = random.integers(0, num_relations, (sizes.batch_size, 3))
    batch = scored_batch(influences, triples=triples, train_index=rows, rows=rows)
    with LiveBytes() as live:
        gathered.add(batch)
        gathered.add(batch)
    most = topk_per_relation_on_device.device_bytes(k, num_relations, sizes)
    assert live.peak_bytes <= most < 3 * live.peak_bytes


def test_waits_follow_neither_the_batches_nor_their_relations(monkeypatch):
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    random, numbers = np.random.default_rng(0), []
    for num_relations in (1, 40):
        reduction = RelationTopKReduction(k=5, num_relations=40, skips_zeros=True)
        gathered, rows = reduction.start(Start(num_columns=3)), np.arange(500)
        triples = random.integers(0, num_relations, (500, 3))
        batch = scored_batch(torch.randn(500, 3), triples=triples, train_index=rows, rows=rows)
        gathered.add(batch)
        with Calls() as calls:
            gathered.add(batch)
        assert not {name for name in calls.numbers if "nonzero" in name or "local_scalar" in name}
        numbers.append(calls.total)
    assert numbers[0] == numbers[1] <= 40


def test_memory_grows_with_the_relations():
    sizes = Sizes(num_columns=7, batch_size=100)
    few, many = (RelationTopKReduction(k=5, num_relations=number).held(sizes) for number in (1, 50))
    assert few.stream > topk.top_k_bytes(5, 7)
    assert many.stream > topk.top_k_bytes(5, 7 * 50)
    assert many.on_device - few.on_device > 49 * 7 * 5 * 2 * 40
