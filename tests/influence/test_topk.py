"""The streamed, merged top-k equals one sort of everything."""

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from influence.scored import add

from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.topk_on_host import TopKStream


@st.composite
def scored(draw) -> tuple[torch.Tensor, np.ndarray, int, list[int]]:
    """Draw influences with many ties, a training order, k, and the places where the rows are cut."""
    num_rows, num_tests, k = draw(st.integers(0, 40)), draw(st.integers(1, 4)), draw(st.integers(1, 7))
    few = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    values = draw(st.lists(few, min_size=num_rows * num_tests, max_size=num_rows * num_tests))
    order = draw(st.permutations(range(num_rows)))
    cuts = draw(st.lists(st.integers(0, num_rows), max_size=4))
    influences = torch.tensor(values, dtype=torch.float32).reshape(num_rows, num_tests)
    return influences, np.array(order, dtype=np.int64), k, sorted(cuts)


def by_one_sort(influences, train_index, k, test, key) -> list[tuple[float, int]]:
    entries = [(float(influences[row, test]), int(train_index[row])) for row in range(len(train_index))]
    return sorted(entries, key=lambda entry: (-key(entry[0]), entry[1]))[:k]


def entries(ranking: topk.Ranking) -> list[tuple[float, int]]:
    return list(zip(ranking.influence.tolist(), ranking.train_index.tolist(), strict=True))


def rows(train_index: np.ndarray) -> np.ndarray:
    return np.stack([train_index, train_index + 100, train_index + 200], axis=1)


def stream(influences, train_index, k, batches) -> topk.TopK:
    gathered = TopKStream(k, influences.shape[1])
    gathered._sides[0]._most_waiting = gathered._sides[1]._most_waiting = 8
    for start, stop in batches:
        add(gathered, influences[start:stop], train_index=train_index[start:stop])
    return gathered.finish()


@given(scored())
def test_topk_streamed_and_merged_in_any_order_equals_one_sort(case):
    influences, train_index, k, cuts = case
    bounds = [0, *cuts, len(train_index)]
    batches = list(itertools.pairwise(bounds))
    streamed = stream(influences, train_index, k, batches)
    merged = topk.merge([topk.empty(k), *(stream(influences, train_index, k, [b]) for b in reversed(batches))])
    for top in (streamed, merged):
        for test in range(influences.shape[1]):
            high, low = (side.take(side.test_index == test) for side in (top.highest, top.lowest))
            assert entries(high) == by_one_sort(influences, train_index, k, test, lambda value: value)
            assert entries(low) == by_one_sort(influences, train_index, k, test, lambda value: -value)
            assert entries(topk.ranked(top, test, "absolute")) == by_one_sort(influences, train_index, k, test, abs)
            assert (high.triples == rows(high.train_index)).all()


@settings(max_examples=30)
@given(scored())
def test_topk_proponents_are_positive_and_opponents_negative(case):
    influences, train_index, k, _ = case
    top = stream(influences, train_index, k, [(0, len(train_index))])
    for test in range(influences.shape[1]):
        assert (topk.ranked(top, test, "proponents").influence > 0).all()
        assert (topk.ranked(top, test, "opponents").influence < 0).all()


def test_a_thousand_equal_influences_keep_the_lowest_training_indices():
    train_index = np.random.default_rng(0).permutation(1000)
    top = stream(torch.zeros(1000, 1), train_index, 5, [(start, start + 50) for start in range(0, 1000, 50)])
    assert top.highest.train_index.tolist() == [0, 1, 2, 3, 4]
    assert top.lowest.train_index.tolist() == [0, 1, 2, 3, 4]
