"""Several masks together, and what reductions see of a batch that they leave in part."""

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.masks.base import Masks
from tracin_dask.influence.masks.candidates import CandidateMask
from tracin_dask.influence.masks.relations import RelationMask
from tracin_dask.influence.masks.touching import ExcludeSelfMask, TouchingMask
from tracin_dask.influence.reductions.base import scored_batch
from tracin_dask.influence.reductions.ranked import ranked_part
from tracin_dask.influence.reductions.topk_on_host import TopKStream

TARGETS = Targets(triples=np.array([[0, 0, 1], [2, 1, 0]]))


def some_triples(num_rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers([4, 3, 4], size=(num_rows, 3))


@given(st.integers(0, 30), st.integers(0, 1000))
def test_a_pair_is_ranked_if_every_mask_leaves_it(num_rows, seed):
    triples, index = some_triples(num_rows, seed), np.arange(num_rows)
    masks = (
        RelationMask(relations=(0, 1), excluded=False),
        CandidateMask(train_index=np.arange(0, 30, 2)),
        TouchingMask(touching="either"),
        ExcludeSelfMask(),
    )
    for number in range(len(masks) + 1):
        for some in itertools.combinations(masks, number):
            found = Masks(masks=some, targets=TARGETS).ranked(triples, index)
            expected = np.ones((num_rows, 2), dtype=bool)
            for mask in some:
                rows, pairs = mask.rows(triples, index), mask.pairs(triples, index, TARGETS)
                expected &= True if rows is None else rows[:, None]
                expected &= True if pairs is None else pairs
            everywhere = np.ones((num_rows, 2), dtype=bool)
            rows = everywhere if found.rows is None else np.repeat(found.rows[:, None], 2, axis=1)
            assert (rows & (everywhere if found.pairs is None else found.pairs)).tolist() == expected.tolist()
            assert found.is_empty == (found.rows is not None and not expected.any())


def test_masks_of_rows_alone_are_no_masks_of_pairs():
    assert Masks().sizes is None
    by_row = Masks(masks=(RelationMask(relations=(1,), excluded=True),), targets=TARGETS)
    by_pair = Masks(masks=(*by_row.masks, TouchingMask(touching="both")), targets=TARGETS)
    assert (by_row.sizes.by_pair, by_pair.sizes.by_pair) == (False, True)
    assert Masks(masks=by_row.masks).ranked(some_triples(5, 0), np.arange(5)).pairs is None


def test_relations_and_candidates_are_the_same_in_any_order():
    one, other = (RelationMask(relations=relations, excluded=False) for relations in ((2, 0), (0, 2, 2)))
    assert one.identity == other.identity
    assert CandidateMask(train_index=np.array([1, 2])).identity != CandidateMask(train_index=np.array([1, 3])).identity


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 1000))
def test_top_k_of_masked_pairs_is_that_of_the_pairs_that_are_left(num_rows, k, seed):
    random = np.random.default_rng(seed)
    influences = random.normal(size=(num_rows, 3)).round(1)
    pairs = random.random((num_rows, 3)) < random.choice([0.1, 0.5, 0.9])
    rows = pairs.any(axis=1)
    stream, triples = TopKStream(k, 3), np.zeros((num_rows, 3), np.int64)
    for part in np.array_split(np.arange(num_rows), 3):
        if len(part) == 0:
            continue
        batch = scored_batch(torch.from_numpy(influences[part]), triples=triples[part], train_index=part, rows=part)
        few = ranked_part(batch, rows[part], pairs[part])
        assert (few is None) == (not rows[part].any())
        if few is not None:
            stream.add(few)
    found = stream.finish()
    for test in range(3):
        left = np.flatnonzero(pairs[:, test])
        for side, sign in ((found.highest, 1), (found.lowest, -1)):
            best = left[np.lexsort((left, -sign * influences[left, test]))][:k]
            mine = side.take(side.test_index == test)
            assert mine.train_index.tolist() == best.tolist()
            assert mine.influence.tolist() == influences[best, test].tolist()
