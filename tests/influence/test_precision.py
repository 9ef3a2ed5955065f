"""Lower precision rounds the inputs of the big products, and only them."""

import pytest
import torch
from influence.agreement import engine_for, scores, trained_scale_model
from torch.overrides import TorchFunctionMode

from tracin_dask.errors import ConfigError
from tracin_dask.influence.batch import index_batch
from tracin_dask.influence.conve.folded import fold
from tracin_dask.influence.conve.forward_pass import forward
from tracin_dask.influence.conve.jacobians import relation_table
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.precision import Precision


def rounded_to_bf16(values: torch.Tensor) -> torch.Tensor:
    """Round float32 to the 8 significant bits of bfloat16 by hand: to nearest, halves to even."""
    bits = values.view(torch.int32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & -0x10000).view(torch.float32)


def spearman(left: torch.Tensor, right: torch.Tensor) -> float:
    ranks = [values.argsort().argsort().double() for values in (left, right)]
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


def operands() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(30, 200, generator=generator), torch.randn(200, 20, generator=generator)


def product(precision: Precision, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return precision.product(precision.operand(left), precision.operand(right))


def test_sums_of_products_are_added_in_place():
    left, right = operands()
    total = torch.ones(30, 20)
    Precision.BF16.add_product(total, *map(Precision.BF16.operand, (left, right)))
    torch.testing.assert_close(total, product(Precision.BF16, left, right) + 1)


def test_bf16_products_are_those_of_rounded_operands_summed_in_float32():
    left, right = operands()
    expected = rounded_to_bf16(left) @ rounded_to_bf16(right)
    assert torch.equal(product(Precision.BF16, left, right), expected)
    assert not torch.equal(left @ right, expected)


def test_fp16_products_are_those_of_rounded_operands_summed_in_float32():
    left, right = operands()
    expected = left.half().double() @ right.half().double()
    found = product(Precision.FP16, left, right)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)  # 200 terms near 1, 6e-8 each


def test_full_precision_does_not_round_products():
    left, right = operands()
    assert torch.equal(product(Precision.FULL, left, right), left @ right)


CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("rounds", "found"), [(True, Precision.CPU_BF16), (False, Precision.FULL)])
@pytest.mark.parametrize("name", ["mixed", "bf16"])
def test_bf16_needs_a_cpu_on_which_pytorch_rounds(monkeypatch, name, rounds, found):
    monkeypatch.setattr("tracin_dask.influence.precision.cpu_rounds_to_bf16", lambda: rounds)
    assert Precision.named(name, CPU) is found


def test_a_precision_is_found_by_its_name():
    on_cuda = {
        name: Precision.named(name, CUDA)
        for name in ("float32", "float64", "mixed", "tf32", "bf16", "fp16", "bf16-emulated")
    }
    assert on_cuda == {
        "float32": Precision.FULL,
        "float64": Precision.FULL,
        "mixed": Precision.FP16,
        "tf32": Precision.TF32,
        "bf16": Precision.BF16,
        "fp16": Precision.FP16,
        "bf16-emulated": Precision.BF16,
    }
    assert [Precision.named(name, CPU) for name in ("float32", "bf16-emulated")] == [Precision.FULL, Precision.BF16]


@pytest.mark.parametrize("name", ["tf32", "fp16"])
def test_formats_of_gpus_are_refused_on_a_cpu(name):
    with pytest.raises(ConfigError, match=f"{name} is a format of GPUs"):
        Precision.named(name, CPU)


class Rounding(TorchFunctionMode):
    """Notes what PyTorch may round in every product."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        if function.__name__ in {"matmul", "__matmul__", "mm", "addmm_"}:
            self.seen.append(torch.get_float32_matmul_precision())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("precision", "large", "small"),
    [
        (Precision.FULL, "highest", "highest"),
        (Precision.BF16, "highest", "highest"),
        (Precision.TF32, "high", "high"),
        (Precision.CPU_BF16, "medium", "highest"),
    ],
)
def test_pytorch_rounds_the_products_that_gain_from_it(precision, large, small):
    before = torch.get_float32_matmul_precision()
    for width, expected in ((64, large), (63, small)):
        left, right, total = torch.ones(70, 80), torch.ones(80, width), torch.zeros(70, width)
        with Rounding() as rounding:
            precision.product(left, right)
            precision.write_product(total, left, right)
            precision.add_product(total, left, right)
        assert rounding.seen == [expected] * 3
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])
def test_no_unit_opens_or_closes_by_rounding(precision):
    model = trained_scale_model(32, 8).float()
    triples = torch.randint(9, (200, 3), generator=torch.Generator().manual_seed(1))
    batch, made = index_batch(triples.numpy(), IndexArrays(CPU)), []
    for chosen in (Precision.FULL, precision):
        folded = fold(model, precision=chosen)
        table = relation_table(folded, chosen)
        assert table is not None
        made.append(forward(folded, batch, precision=chosen, relation_sums=table.sums(None, chosen)).x)
    assert torch.equal(*made)


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])
def test_lower_precision_keeps_the_order_of_the_influences(precision):
    model = trained_scale_model(32, 8).float()
    train = torch.randint(9, (300, 3), generator=torch.Generator().manual_seed(1))
    test = train[:5]
    influences = []
    for chosen in (Precision.FULL, precision):
        engine = engine_for(model, model.config.parameter_names, precision=chosen)
        influences.append(scores(engine, train, engine.prepare(test, batch_size=5)))
    full, rounded = influences
    assert not torch.equal(full, rounded)
    for column in range(len(test)):
        assert spearman(full[:, column], rounded[:, column]) >= 0.99
