"""The best k of each relation, streamed and merged, equal a sort of everything that is cut by relation."""

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.base import ScoredBatch, Sizes, Start, ranked_part, scored_batch
from tracin_dask.influence.reductions.topk_per_relation import RelationTopKReduction

NUM_RELATIONS = 3
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


def stream(case, parts: list[tuple[int, int]], seen: topk.TopK | None = None, **options) -> topk.TopK:
    influences, *_, k, _ = case
    reduction = RelationTopKReduction(k=k, num_relations=NUM_RELATIONS, **options)
    gathered = reduction.start(Start(num_columns=influences.shape[1], seen=seen))
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


@settings(max_examples=60)
@given(cases())
def test_streamed_and_merged_in_any_order_equals_a_sort_that_is_cut_by_relation(case):
    bounds = [0, *case[-1], len(case[2])]
    parts = list(itertools.pairwise(bounds))
    whole = stream(case, parts)
    assert_by_hand(whole, case)
    merged = topk.merge([stream(case, [part]) for part in reversed(parts)])
    assert_by_hand(merged, case)
    assert_by_hand(topk.unpack(topk.pack(merged)), case)
    first = stream(case, parts[:1])
    assert_by_hand(topk.merge([first, stream(case, parts[1:], seen=first)]), case)


@settings(max_examples=20)
@given(cases())
def test_training_triples_without_influence_stay_out_where_they_are_not_read(case):
    assert_by_hand(stream(case, [(0, len(case[2]))], skips_zeros=True), case, skips_zeros=True)


def test_memory_grows_with_the_relations():
    sizes = Sizes(num_columns=7, batch_size=100)
    few, many = (RelationTopKReduction(k=5, num_relations=number).held(sizes) for number in (1, 50))
    assert few.stream > topk.top_k_bytes(5, 7)
    assert many.stream > topk.top_k_bytes(5, 7 * 50)
    assert many.on_device - few.on_device == 49 * 7 * 16
