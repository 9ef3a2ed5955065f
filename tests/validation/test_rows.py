"""Subsets of rows follow from their seeds, part by part."""

import numpy as np
import pytest

from tracin_dask.validation import rows
from tracin_dask.validation.influences import blocks
from tracin_dask.validation.rows import AllRows, ChangedRows, RandomSubset
from tracin_dask.validation.studies.lds import subset_sums


@pytest.fixture
def _small_strata(monkeypatch):
    for module in ("rows", "influences", "studies.lds"):
        monkeypatch.setattr(f"tracin_dask.validation.{module}.STRATUM_ROWS", 50)


@pytest.mark.usefixtures("_small_strata")
def test_a_subset_has_its_share_of_every_stratum_and_no_row_twice():
    chosen = RandomSubset(fraction=0.3, seed=4).select(170)
    assert len(np.unique(chosen)) == len(chosen)
    assert np.bincount(chosen // rows.STRATUM_ROWS).tolist() == [15, 15, 15, 6]


def test_subsets_of_other_seeds_are_others_and_that_of_one_seed_is_always_the_same():
    first, again, other = (RandomSubset(fraction=0.5, seed=seed).select(100) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert 10 < len(np.intersect1d(first, other)) < 40


@pytest.mark.usefixtures("_small_strata")
def test_sums_over_subsets_equal_those_of_whole_masks(monkeypatch):
    monkeypatch.setattr("tracin_dask.validation.influences.BLOCK_BYTES", 8 * 3 * 20)
    influence = np.random.default_rng(1).normal(size=(3, 130))
    subsets = [RandomSubset(fraction=0.5, seed=seed) for seed in range(4)]

    class Held:
        def read(self, start, stop):
            assert stop - start <= 20
            return influence[:, start:stop]

    expected = np.stack([influence[:, one.select(130)].sum(axis=1) for one in subsets], axis=1)
    np.testing.assert_allclose(subset_sums(Held(), subsets, num_rows=130, num_tests=3), expected, atol=1e-12)


@pytest.mark.usefixtures("_small_strata")
def test_blocks_cover_all_rows_and_cross_no_stratum(monkeypatch):
    monkeypatch.setattr("tracin_dask.validation.influences.BLOCK_BYTES", 8 * 30)
    found = list(blocks(120, 1))
    assert [start for start, _ in found[1:]] == [stop for _, stop in found[:-1]]
    assert found[-1][1] == 120
    assert all(start // 50 == (stop - 1) // 50 for start, stop in found)


def test_changed_rows_leave_some_out_and_add_some_after_the_graph():
    choice = ChangedRows(without=np.array([3, 1, 3]), extra=np.array([6]), stop=5)
    assert choice.select(8).tolist() == [0, 2, 4, 6]
    assert choice.identity == ChangedRows(without=np.array([1, 3]), extra=np.array([6]), stop=5).identity
    assert choice.identity != ChangedRows(without=np.array([1]), extra=np.array([6]), stop=5).identity
    assert AllRows(stop=3).select(8).tolist() == [0, 1, 2]
