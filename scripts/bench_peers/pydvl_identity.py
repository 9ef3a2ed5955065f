"""pyDVL with the identity in place of the inverse Hessian: whole gradients of batches, and their products."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bench_peers.peer import Scorer, TripleScores, installed_version, with_labels
from tracin_dask.models.conve.model import ConvE

TESTS_PER_CHUNK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PyDVL:
    """A `SequentialInfluenceCalculator`: test triples' gradients through a Zarr array, then all of them in memory."""

    name: str = "pyDVL"
    tracks: tuple[str, ...] = ("*",)
    requirement: str = "pydvl[influence]>=0.10,<0.11"
    prepares_tests: bool = True
    relative_error: float = 1e-9
    batch_size: int = 16

    def is_installed(self) -> bool:
        """Tell whether pyDVL is there."""
        return installed_version(self.requirement) is not None

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:
        """Write the test triples' gradients to a Zarr array, chunk by chunk, and read them as one tensor."""
        from pydvl.influence import SequentialInfluenceCalculator  # noqa: PLC0415 - pyDVL may be absent
        from pydvl.influence.torch.util import (  # noqa: PLC0415 - pyDVL may be absent
            NestedTorchCatAggregator,
            TorchNumpyConverter,
        )

        calculator = SequentialInfluenceCalculator(_gradient_products(TripleScores(model)))
        lazy = calculator.influence_factors(_batches(model, test, TESTS_PER_CHUNK))
        stored = lazy.to_zarr(str(folder / "factors.zarr"), TorchNumpyConverter(), return_stored=True, overwrite=True)
        factors = torch.from_numpy(stored[:])

        def score(rows: Int[Tensor, "rows 3"]) -> Float[Tensor, "rows test"]:
            products = calculator.influences_from_factors([factors], _batches(model, rows, self.batch_size))
            found: Tensor = products.compute(aggregator=NestedTorchCatAggregator())
            return found.T

        return score


def _batches(model: ConvE, triples: Tensor, size: int) -> list[tuple[Tensor, ...]]:
    return list(zip(*(tensor.split(size) for tensor in with_labels(model, triples)), strict=True))


def _loss(scores: Tensor, labels: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(scores, labels, reduction="sum")


def _gradient_products(scores: TripleScores) -> Any:  # noqa: ANN401 - pyDVL may be absent
    """Make an influence model whose operator leaves gradients as they are."""
    from pydvl.influence.torch.base import (  # noqa: PLC0415 - pyDVL may be absent
        TensorOperator,
        TorchComposableInfluence,
        TorchGradientProvider,
        TorchOperatorGradientComposition,
    )

    class Identity(TensorOperator):
        device = property(lambda _: torch.device("cpu"))
        dtype = property(lambda _: next(scores.parameters()).dtype)
        input_size = property(lambda _: sum(parameter.numel() for parameter in scores.parameters()))

        def to(self, _device: torch.device) -> "Identity":
            return self

        def _apply_to_vec(self, vec: Tensor) -> Tensor:
            return vec

        def _apply_to_mat(self, mat: Tensor) -> Tensor:
            return mat

    class GradientProducts(TorchComposableInfluence):
        is_thread_safe = False

        def with_regularization(self, _regularization: object) -> "GradientProducts":
            return self

        def _create_block(self, block_params: dict[str, Tensor], *_: object) -> TorchOperatorGradientComposition:
            provider = TorchGradientProvider(self.model, _loss, restrict_to=block_params)
            return TorchOperatorGradientComposition(Identity(), provider)

    return GradientProducts(scores).fit(None)
