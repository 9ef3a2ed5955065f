"""What PyTorch's setting for products of float32 does on this CPU: it rounds, or only takes another library."""

import os
from collections.abc import Mapping
from functools import cache

import torch

from tracin_dask.turn import MatmulPrecision, Turn

_SHAPES = "32"
"""Products whose code oneDNN keeps in this process, about 0.6 MB for each shape; it would keep 1,024."""
_WIDTH = 256
"""Rows and columns of the matrices that show whether operands are rounded."""


@cache
def exact_matmul() -> MatmulPrecision:
    """Choose the setting at which nothing is rounded, and with which this CPU multiplies large matrices fastest.

    On a CPU PyTorch multiplies with MKL, and at `medium` with oneDNN, which uses bf16 if the CPU has units that make
    products of float32 with it. On AMD's CPUs with AVX-512, which have none, oneDNN sums float32 as MKL does, in half
    to nine tenths of the time. Which setting is taken depends on the CPU and on PyTorch alone, so that equal machines
    give equal bits.
    """
    is_amd = str(_capabilities().get("cpu_name", "")).startswith("AMD")
    is_faster = is_amd and bool(_capabilities().get("avx512_f")) and not cpu_rounds_to_bf16()
    return "medium" if is_faster else "highest"


@cache
def cpu_rounds_to_bf16() -> bool:
    """Tell whether PyTorch on this CPU rounds the operands of float32 products where it may: only there is bf16 faster.

    Seen from products with the identity, which give float32 back unless it was rounded. CPUs that have bf16
    instructions, but no units for matrices (AMX), round nothing.
    """
    for capacity in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # read at the first product
        os.environ.setdefault(capacity, _SHAPES)
    values = 1 + torch.arange(_WIDTH * _WIDTH, dtype=torch.float32).view(_WIDTH, _WIDTH) / 2**18
    with Turn(torch.get_num_threads(), "medium"):
        return not torch.equal(torch.eye(_WIDTH) @ values, values)


def _capabilities() -> Mapping[str, bool | str | int]:
    """Give what PyTorch knows of this CPU; older ones know nothing."""
    found: Mapping[str, bool | str | int] = getattr(torch.cpu, "get_capabilities", dict)()
    return found
