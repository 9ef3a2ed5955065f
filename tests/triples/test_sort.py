"""Sorting gives the same rows with any memory budget."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import StoreError
from tracin_dask.places.registry import place_of
from tracin_dask.triples.block import TripleBlock, concatenate, regroup
from tracin_dask.triples.runs import KeyedRows, SortedRuns, sort_rows, write_run
from tracin_dask.triples.sort import SORT_BYTES_PER_ROW, KeyLayout, sort_triples

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), max_size=60)


def cut(triples: list[tuple[int, int, int]], sizes: list[int]) -> list[TripleBlock]:
    rows = np.array(triples, dtype=np.int64).reshape(-1, 3)
    block = TripleBlock(triples=rows, train_index=np.arange(len(rows), dtype=np.int64) * 2)
    bounds = [0, *np.cumsum(sizes).tolist(), len(rows)]
    return [block[start:stop] for start, stop in itertools.pairwise(bounds) if start <= stop]


@settings(max_examples=150, deadline=None)
@given(ROWS, st.lists(st.integers(0, 7), max_size=20), st.integers(0, 40), st.sampled_from([4, 2**40]))
def test_sorting_with_any_memory_and_blocks_gives_the_same_stable_sort(
    tmp_path_factory, rows, sizes, budget_rows, num_entities
):
    sorted_triples = sort_triples(
        cut(rows, sizes),
        KeyLayout(num_entities=num_entities, num_relations=2),
        memory_bytes=budget_rows * SORT_BYTES_PER_ROW,
        scratch=tmp_path_factory.mktemp("sort"),
    )
    found = concatenate(sorted_triples.blocks)
    expected = sorted((*row, 2 * number) for number, row in enumerate(rows))
    assert sorted_triples.num_triples == len(rows)
    assert np.column_stack([found.triples, found.train_index]).tolist() == [list(row) for row in expected]


def test_a_head_with_more_rows_than_the_memory_budget_is_sorted_within_it(tmp_path):
    random = np.random.default_rng(0)
    rows = np.stack([np.zeros(5000, np.int64), np.zeros(5000, np.int64), random.integers(0, 3, 5000)], axis=1)
    blocks = [
        TripleBlock(triples=rows[start : start + 100], train_index=np.arange(start, start + 100))
        for start in range(0, 5000, 100)
    ]
    layout = KeyLayout(num_entities=3, num_relations=1)
    found = sort_triples(blocks, layout, memory_bytes=500 * SORT_BYTES_PER_ROW, scratch=tmp_path)
    pieces = list(found.blocks)
    assert max(map(len, pieces)) <= 500
    assert len(list(tmp_path.iterdir())) == 10
    joined = concatenate(pieces)
    assert joined.triples[:, 2].tolist() == sorted(rows[:, 2].tolist())
    assert joined.train_index.tolist() == np.argsort(rows[:, 2], kind="stable").tolist()


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=20), min_size=1, max_size=6),
    st.integers(1, 5),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8),
)
def test_any_range_of_sorted_runs_is_that_of_one_stable_sort(tmp_path_factory, parts, sample_rows, ranges):
    folder, first_line, runs = place_of(tmp_path_factory.mktemp("runs")), [], []
    for number, keys in enumerate(parts):
        rows = KeyedRows(keys=np.array(keys), train_index=np.arange(len(keys)))
        runs.append(write_run(folder / str(number), sort_rows([rows]), sample_rows))
        first_line.append(sum(map(len, parts[:number])))
    joined = SortedRuns.of(runs, sample_rows, first_line)
    expected = sorted((key, number) for number, key in enumerate(itertools.chain.from_iterable(parts)))
    assert len(joined) == len(expected)
    for ends in ranges:
        start, stop = sorted(int(end * (len(joined) - 1)) for end in ends)
        found = joined.read(start, stop + 1)
        assert list(zip(found.keys.tolist(), found.train_index.tolist(), strict=True)) == expected[start : stop + 1]
        starts, stops = joined._bounds(start, stop + 1)
        assert (stops - starts).sum() <= stop + 1 - start + joined.further_rows


def test_a_run_that_was_cut_short_is_named(tmp_path):
    rows = KeyedRows(keys=np.arange(9), train_index=np.arange(9))
    run = write_run(place_of(tmp_path / "0.rows"), rows)
    (tmp_path / "0.rows").write_bytes((tmp_path / "0.rows").read_bytes()[:-8])
    with pytest.raises(StoreError, match=r"0\.rows: sorted rows are missing"):
        SortedRuns.of([run]).read(0, 9)


@pytest.mark.parametrize(("num_entities", "num_relations"), [(1, 1), (2**28, 2**7), (2**28, 2**7 + 1), (2**62, 2**62)])
def test_sort_keys_hold_the_largest_ids(num_entities, num_relations):
    layout = KeyLayout(num_entities=num_entities, num_relations=num_relations)
    triples = np.array([[0, 0, 0], [num_entities - 1, num_relations - 1, num_entities - 1]])
    keys = layout.pack(triples)
    assert layout.unpack(keys).tolist() == triples.tolist()
    assert np.argsort(keys, kind="stable").tolist() == [0, 1]


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_regrouping_blocks_keeps_the_rows_and_fills_every_block_but_the_last(sizes, rows):
    blocks = cut([(n % 3, 0, n % 4) for n in range(sum(sizes))], sizes)
    found = list(regroup(blocks, rows))
    assert concatenate(found).train_index.tolist() == concatenate(blocks).train_index.tolist()
    assert all(len(block) == rows for block in found[:-1])
    assert all(0 < len(block) <= rows for block in found)
