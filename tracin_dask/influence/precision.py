"""The number format of the big products; sums are always made in the working dtype.

The forward pass up to the last ReLU is never rounded. Rounded, it opens and closes other units, and single pairs get
quite another influence (docs/memory.md says how many).
"""

from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.matmul import cpu_rounds_to_bf16, exact_matmul
from tracin_dask.turn import matmul_at

PrecisionName = Literal["float64", "float32", "mixed", "tf32", "bf16", "bf16-emulated", "fp16"]
"""What a run can ask for; `mixed` is fp16 on CUDA and bf16 elsewhere."""

WorkingPrecision = Literal["float64", "float32"]
"""Those in which nothing is rounded but to the type of the weights."""

_LEAST_ROUNDED_ON_CPU = 64
"""Rows, inner and outer columns of a product that a CPU makes in bf16: with fewer, rounding takes the time it saves."""
_LEAST_FOR_ONEDNN = 2**29
"""Multiply-adds from which a product is worth the half millisecond that oneDNN takes for each shape it has not seen."""


class Precision(Enum):
    """How the operands of the big products are rounded; the value is the name that the result states."""

    FULL = "full"
    """Operands have the working dtype."""
    TF32 = "tf32"
    """The GPU rounds the operands of float32 products itself."""
    CPU_BF16 = "bf16"
    """A CPU with bf16 units rounds the operands of float32 products itself."""
    BF16 = "rounded bf16"
    """Operands are rounded first; on a CPU this shows what bf16 does to the results, and saves nothing."""
    FP16 = "fp16"

    @classmethod
    def named(cls, name: PrecisionName, device: torch.device) -> "Precision":
        """Choose a precision on a device; where a CPU's products gain nothing from bf16, full precision.

        Raises
        ------
        ConfigError
            If a format is asked for that only GPUs multiply.
        """
        on_gpu = device.type == "cuda"
        if name in {"tf32", "fp16"} and not on_gpu:
            raise ConfigError(f"precision {name} is a format of GPUs, and this runs on a CPU; take float32 or bf16")
        if name == "mixed":
            name = "fp16" if on_gpu else "bf16"
        if name == "bf16" and not on_gpu:
            return cls.CPU_BF16 if cpu_rounds_to_bf16() else cls.FULL
        if name in {"float32", "float64"}:
            return cls.FULL
        return cls.BF16 if name in {"bf16", "bf16-emulated"} else cls(name)

    @property
    def rounded_dtype(self) -> torch.dtype | None:
        """The format that operands are rounded to, or None."""
        return {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}.get(self)

    def operand(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Round an operand, once for all products that it enters.

        On a CPU it keeps the working dtype: products of two bf16 numbers are exact in float32, so the results are
        those of a bf16 unit with float32 sums.
        """
        dtype = self.rounded_dtype
        if dtype is None:
            return values
        return values.to(dtype) if values.is_cuda else values.to(dtype).to(values.dtype)

    def product(
        self, left: Float[Tensor, "*stack rows inner"], right: Float[Tensor, "*stack inner columns"]
    ) -> Float[Tensor, "*stack rows columns"]:
        """Multiply two operands, or two stacks of them."""
        if self.rounded_dtype is None or not left.is_cuda:
            with self._rounding(left, right):
                return left @ right
        multiply = torch.mm if left.dim() == 2 else torch.bmm
        return multiply(left, right, out_dtype=torch.float32)

    def write_product(
        self,
        total: Float[Tensor, "rows columns"],
        left: Float[Tensor, "rows inner"],
        right: Float[Tensor, "inner columns"],
    ) -> None:
        """Put the product of two operands in a place."""
        if self.rounded_dtype is None or not left.is_cuda:
            with self._rounding(left, right):
                torch.mm(left, right, out=total)
        else:
            total.copy_(self.product(left, right))

    def add_product(
        self,
        total: Float[Tensor, "rows columns"],
        left: Float[Tensor, "rows inner"],
        right: Float[Tensor, "inner columns"],
    ) -> None:
        """Add the product of two operands, in place."""
        if self.rounded_dtype is None or not left.is_cuda:
            with self._rounding(left, right):
                total.addmm_(left, right)
        else:
            total += self.product(left, right)

    def _rounding(self, left: Tensor, right: Tensor) -> AbstractContextManager[None]:
        """Let PyTorch round the operands of a product that gains from it."""
        if self is Precision.TF32:
            return matmul_at("high")
        if self is Precision.CPU_BF16 and min(*left.shape[-2:], right.shape[-1]) >= _LEAST_ROUNDED_ON_CPU:
            return matmul_at("medium")
        if self is Precision.FULL and not left.is_cuda and left.numel() * right.shape[-1] >= _LEAST_FOR_ONEDNN:
            return matmul_at(exact_matmul())
        return nullcontext()


def working_dtype(name: PrecisionName) -> torch.dtype:
    """Give the type of weights and sums: only `float64` has another than float32."""
    return torch.float64 if name == "float64" else torch.float32
