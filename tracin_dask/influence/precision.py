"""The number format of the big products; sums are always made in the working dtype."""

from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor


class Precision(Enum):
    """How the inputs of the big products are rounded; the value is the name that the result states."""

    FULL = "full"
    BF16 = "bf16"
    FP16 = "fp16"

    @classmethod
    def mixed_on(cls, device: torch.device) -> "Precision":
        """Choose the mixed precision of a device: fp16 on CUDA, bf16 elsewhere."""
        return cls.FP16 if device.type == "cuda" else cls.BF16

    @property
    def rounded_dtype(self) -> torch.dtype | None:
        """The format that inputs are rounded to, or None."""
        return {Precision.FULL: None, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}[self]

    def product(
        self, left: Float[Tensor, "rows inner"], right: Float[Tensor, "inner columns"]
    ) -> Float[Tensor, "rows columns"]:
        """Multiply two matrices, inputs rounded to this format, sums in the inputs' own dtype.

        A CPU rounds and then multiplies in the working dtype: products of two bf16 numbers are exact in float32, so the
        result is that of a bf16 unit with float32 sums, on any processor.
        """
        dtype = self.rounded_dtype
        if dtype is None:
            return left @ right
        if left.is_cuda:
            return torch.mm(left.to(dtype), right.to(dtype), out_dtype=torch.float32)
        return left.to(dtype).to(left.dtype) @ right.to(dtype).to(right.dtype)
