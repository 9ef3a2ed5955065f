"""The setting of exact products of float32: another library where that is faster, and never one that rounds."""

import pytest
import torch

from tracin_dask import matmul
from tracin_dask.influence.precision import Precision
from tracin_dask.matmul import cpu_rounds_to_bf16, exact_matmul
from tracin_dask.turn import Turn


@pytest.fixture(autouse=True)
def _anew():
    exact_matmul.cache_clear()
    yield
    exact_matmul.cache_clear()


def machine(monkeypatch, name: str, *, rounds: bool, **has: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": name, **has}, raising=False)
    monkeypatch.setattr(matmul, "cpu_rounds_to_bf16", lambda: rounds)


@pytest.mark.parametrize(
    ("name", "rounds", "has_avx512", "expected"),
    [
        ("AMD EPYC 9654 96-Core Processor", False, True, "medium"),
        ("AMD EPYC 7763 64-Core Processor", False, False, "highest"),
        ("AMD of another day", True, True, "highest"),
        ("Intel Xeon Platinum 8488C", False, True, "highest"),
        ("Intel Xeon Platinum 8488C", True, True, "highest"),
    ],
)
def test_one_dnn_multiplies_on_amd_where_it_rounds_nothing(monkeypatch, name, rounds, has_avx512, expected):
    machine(monkeypatch, name, rounds=rounds, avx512_f=has_avx512)
    assert exact_matmul() == expected


def test_a_pytorch_that_knows_nothing_of_its_cpu_multiplies_as_usual(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert exact_matmul() == "highest"


def test_exact_products_are_as_exact_as_float32_on_this_machine():
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in ((64, 64, 64), (300, 200, 700), (3, 4000, 32), (2000, 32, 5), (1, 700, 700)):
        left, right = torch.randn(rows, inner, generator=generator), torch.randn(inner, columns, generator=generator)
        with Turn(1, exact_matmul()):
            found = left @ right
        error = (found.double() - left.double() @ right.double()).norm() / found.norm()
        assert error < 2e-6  # operands rounded to bf16 give 2e-3


@pytest.mark.parametrize(("rows", "expected"), [(2**13, {"medium"}), (2**12, {"highest"})])
def test_only_large_products_take_the_other_library(monkeypatch, rows, expected):
    machine(monkeypatch, "AMD EPYC", rounds=False, avx512_f=True)
    seen, plain = set(), torch.Tensor.__matmul__

    def multiply(left, right):
        seen.add(torch.get_float32_matmul_precision())
        return plain(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", multiply)
    with Turn(1, "highest"):
        Precision.FULL.product(torch.ones(rows, 2**8), torch.ones(2**8, 2**8))
    assert seen == expected


def test_rounding_is_seen(monkeypatch):
    cpu_rounds_to_bf16.cache_clear()
    plain = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda left, right: plain(left, right.bfloat16().float()))
    assert cpu_rounds_to_bf16()
    cpu_rounds_to_bf16.cache_clear()
    monkeypatch.undo()
    before = torch.get_float32_matmul_precision()
    cpu_rounds_to_bf16()
    assert torch.get_float32_matmul_precision() == before
