"""The top k that is kept on a device equals that of the host to the last bit, and takes the counted bytes."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from influence.live_bytes import LiveBytes
from influence.scored import add

from tracin_dask.influence import devices
from tracin_dask.influence.reductions import topk, topk_on_device
from tracin_dask.influence.reductions.base import ScoredBatch, Sizes, Start, scored_batch
from tracin_dask.influence.reductions.ranked import ranked_part
from tracin_dask.influence.reductions.topk import Ranking, TopK
from tracin_dask.influence.reductions.topk_on_device import DeviceTopKStream, device_bytes
from tracin_dask.influence.reductions.topk_on_host import TopKStream
from tracin_dask.influence.reductions.topk_reduction import TopKReduction


@st.composite
def cases(draw):
    """Draw influences with many ties and both zeros, a training order, ranked pairs, cuts; k, and what is skipped."""
    num_rows, num_tests, k = draw(st.integers(0, 40)), draw(st.integers(1, 4)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    few = [-0.0, 0.0, 1.0, -1.0, 0.5, 2.0, -2.0][: draw(st.sampled_from([2, 4, 7]))]
    influences = random.choice(few, (num_rows, num_tests)).astype(draw(st.sampled_from([np.float32, np.float64])))
    train_index = random.permutation(num_rows) * draw(st.sampled_from([1, 10**16]))
    ranked = random.random((num_rows, num_tests)) < draw(st.sampled_from([0.2, 0.7, 1.1]))
    cuts = sorted(draw(st.lists(st.integers(0, num_rows), max_size=4)))
    return (influences, train_index, ranked, cuts), k, draw(st.booleans())


def batches_of(influences, train_index, ranked, cuts) -> list[ScoredBatch]:
    parts = [rows for rows in np.split(np.arange(len(influences)), cuts) if len(rows)]
    batches = [batch_of(influences[rows], train_index[rows], ranked[rows]) for rows in parts]
    return [batch for batch in batches if batch is not None]


def batch_of(influences: np.ndarray, train_index: np.ndarray, ranked: np.ndarray) -> ScoredBatch | None:
    triples = np.stack([train_index, train_index % 3, train_index + 5], axis=1)
    batch = scored_batch(
        torch.from_numpy(influences), triples=triples, train_index=train_index, rows=np.arange(len(influences))
    )
    return ranked_part(batch, ranked.any(axis=1), ranked)


def bits(top: TopK) -> list[tuple[str, bytes]]:
    sides = (top.highest, top.lowest)
    arrays = [getattr(side, field.name) for side in sides for field in fields(Ranking)]
    return [(array.dtype.str, array.tobytes()) for array in arrays]


def streamed(kind, batches, num_tests, k, *, seen=None, skips_zeros=False) -> TopK:
    stream = kind(k, num_tests, seen, skips_zeros=skips_zeros)
    for batch in batches:
        stream.add(batch)
    return stream.finish()


@pytest.mark.parametrize("elements", [1, 1 << 22], ids=["by test triple", "whole"])
@settings(max_examples=200)
@given(cases())
def test_topk_on_a_device_equals_the_topk_on_the_host_to_the_last_bit(elements, case):
    rows, k, skips_zeros = case
    batches, num_tests = batches_of(*rows), rows[0].shape[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk_on_device, "ELEMENTS_AT_A_TIME", elements)
        expected = streamed(TopKStream, batches, num_tests, k, skips_zeros=skips_zeros)
        for order in (batches, batches[::-1]):
            found = streamed(DeviceTopKStream, order, num_tests, k, skips_zeros=skips_zeros)
            assert bits(found) == bits(expected)
        tasks = [streamed(DeviceTopKStream, [batch], num_tests, k, skips_zeros=skips_zeros) for batch in batches]
        assert bits(topk.merge([topk.empty(k), *tasks])) == bits(expected)


@given(cases())
def test_both_leave_out_the_same_entries_that_earlier_rows_surpass(case):
    rows, k, skips_zeros = case
    batches, num_tests = batches_of(*rows), rows[0].shape[1]
    seen = streamed(TopKStream, batches[:1], num_tests, k, skips_zeros=skips_zeros)
    host, device = (
        streamed(kind, batches[1:], num_tests, k, seen=seen, skips_zeros=skips_zeros)
        for kind in (TopKStream, DeviceTopKStream)
    )
    assert bits(device) == bits(host)


def test_a_thousand_equal_influences_keep_the_lowest_training_indices_on_a_device():
    train_index = np.random.default_rng(0).permutation(1000)
    stream = DeviceTopKStream(5, 1)
    for start in range(0, 1000, 50):
        add(stream, torch.zeros(50, 1), train_index=train_index[start : start + 50])
    top = stream.finish()
    assert top.highest.train_index.tolist() == [0, 1, 2, 3, 4]
    assert top.lowest.train_index.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("on_device", [False, True])
def test_the_device_of_the_influences_chooses_the_stream(on_device, monkeypatch):
    monkeypatch.setattr(devices, "computes_ahead", lambda _: on_device)
    stream = TopKReduction(k=2).start(Start(num_columns=1))
    add(stream, torch.tensor([[3.0], [1.0], [2.0]]))
    assert isinstance(stream._chosen, DeviceTopKStream if on_device else TopKStream)
    assert stream.finish().highest.train_index.tolist() == [0, 2]


def test_a_task_without_rows_has_an_empty_topk():
    assert bits(TopKReduction(k=2).start(Start(num_columns=3)).finish()) == bits(topk.empty(2))


@pytest.mark.parametrize(
    ("num_rows", "num_tests", "k", "elements"),
    [(4000, 40, 3, 1 << 22), (4000, 40, 3, 1 << 14), (3000, 2, 5, 1 << 10), (200, 50, 100, 1 << 22)],
    ids=["influences", "some at a time", "one at a time", "entries"],
)
def test_topk_on_a_device_takes_the_counted_bytes(num_rows, num_tests, k, elements, monkeypatch):
    monkeypatch.setattr(topk_on_device, "ELEMENTS_AT_A_TIME", elements)
    random = np.random.default_rng(0)
    stream = DeviceTopKStream(k, num_tests, skips_zeros=True)
    ranked = random.random((num_rows, num_tests)) < 0.9
    batches = [
        batch_of(random.normal(size=(num_rows, num_tests)), number * num_rows + np.arange(num_rows), ranked)
        for number in range(3)
    ]
    with LiveBytes() as live:
        for batch in batches:
            stream.add(batch)
    sizes = Sizes(num_columns=num_tests, batch_size=num_rows)
    assert TopKReduction(k=k).held(sizes).on_device == device_bytes(k, sizes)
    counted = device_bytes(k, sizes)
    assert 0.8 * counted < live.peak_bytes <= counted
