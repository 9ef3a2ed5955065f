"""Products of runs of rows with a matrix each, and joins by id, beside plain loops over the runs."""

import numpy as np
import pytest
import torch
from influence.indexed import CPU

from tracin_dask.influence import run_products
from tracin_dask.influence.id_join import GroupedTests, IdIndex, add_where_equal, group, join
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.run_products import Multiplied, index_runs, products_by_run
from tracin_dask.influence.tiling import ON_CPU, ON_GPU, Tiling

LENGTHS = [[5], [1, 1, 1, 1], [0, 3, 0], [7, 0, 1, 40, 2], [0, 0], []]
WAYS = [(torch.float32, 8, 12), (torch.float64, 8, 12), (torch.float32, 5, 7)]
"""PyTorch groups the first; the others are cut into blocks."""


def product(left, right, lengths, tiling=ON_CPU, precision=Precision.FULL):
    of = Multiplied(dtype=left.dtype, width=left.shape[1], tiling=tiling)
    index = index_runs(np.array(lengths, np.int64), of, IndexArrays(CPU))
    return products_by_run(left, right, index, precision=precision, tiling=tiling)


def tensors(lengths, dtype, inner, columns):
    generator = torch.Generator().manual_seed(0)
    shapes = (sum(lengths), inner), (len(lengths), inner, columns)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(("dtype", "inner", "columns"), WAYS)
def test_each_run_meets_its_own_matrix(lengths, dtype, inner, columns):
    left, right = tensors(lengths, dtype, inner, columns)
    wanted = [rows @ matrix for rows, matrix in zip(torch.split(left, lengths), right, strict=True)]
    found = product(left, right, lengths)
    torch.testing.assert_close(found, torch.cat([left.new_empty(0, columns), *wanted]))


@pytest.mark.parametrize("jacobian_bytes", [1, 3 * 8 * 12 * 8])
def test_blocks_in_small_pieces_give_the_same_bits(jacobian_bytes):
    lengths = LENGTHS[3]
    left, right = tensors(lengths, *WAYS[1])
    small = Tiling(**{name: getattr(ON_GPU, name) for name in Tiling.__slots__} | {"jacobian_bytes": jacobian_bytes})
    assert torch.equal(product(left, right, lengths, small), product(left, right, lengths))


def test_rounded_operands_have_sums_of_the_working_type():
    left, right = (Precision.BF16.operand(values) for values in tensors([3, 2], torch.float32, 5, 7))
    assert product(left, right, [3, 2], precision=Precision.BF16).dtype == torch.float32


def test_the_first_way_is_the_grouped_product_of_pytorch(monkeypatch):
    left, right = tensors([3, 2], *WAYS[0])
    monkeypatch.setattr(run_products, "_in_blocks", None)
    assert product(left, right.transpose(1, 2).contiguous().transpose(1, 2), [3, 2]).shape == (5, 12)


@pytest.mark.parametrize("num_tests", [1, 5, 60])
@pytest.mark.parametrize("num_ids", [1, 3, 40])
def test_rows_of_relations_meet_as_those_of_any_table(num_ids, num_tests):
    random = np.random.default_rng(num_ids)
    of_tests, of_rows = (np.minimum(random.zipf(1.5, n), num_ids) - 1 for n in (num_tests, 200))
    index = IdIndex(of_tests, num_ids)
    theirs, vectors = torch.randn(num_tests, 6), torch.randn(200, 6)
    rows = np.random.default_rng(0).permutation(300)[:200]
    arrays, of = IndexArrays(CPU), Multiplied(dtype=vectors.dtype, width=6, tiling=ON_CPU)
    grouped, joined = group(index, of_rows, arrays, rows=rows, of=of), join(index, of_rows, arrays, rows=rows)
    start = torch.randn(300, num_tests + 3)
    found, wanted = start.clone()[:, :num_tests], start.clone()[:, :num_tests]  # views with further columns
    GroupedTests(index, theirs).add(found, grouped, vectors)
    add_where_equal(wanted, joined, vectors, theirs)
    torch.testing.assert_close(found, wanted)
