"""Whether gradients are equal up to rounding, tensor by tensor."""

from collections.abc import Iterable

import torch
from torch import Tensor

from tracin_dask.models.checks.derivatives import Found, Gradients
from tracin_dask.models.rowwise import tolerance_of

_ROUNDING = 1000
"""Units in the last place of the largest gradient that can be rounding in any tensor: where gradients cancel to 0."""


def different_tensor(found: Found, expected: Found) -> str | None:
    """Name a tensor whose gradients are not equal; "scores" if scores are not, None if all are equal."""
    if not are_equal(found.scores, expected.scores):
        return "scores"
    return next(iter(different_tensors(found.gradients, expected.gradients)), None)


def different_tensors(found: Gradients, expected: Gradients) -> Iterable[str]:
    """Name the tensors in `found` whose gradients are not those that are expected."""
    noise = max((_rounding(tensor) for tensor in expected.values()), default=0.0)
    return (name for name, tensor in found.items() if not are_equal(tensor, expected[name], noise=noise))


def are_equal(found: Tensor, expected: Tensor, *, noise: float = 0.0, scale: float | None = None) -> bool:
    """Compare numbers with the largest one, or with a given scale."""
    if found.shape != expected.shape:
        return False
    largest = _largest(expected) if scale is None else scale
    return _largest(found - expected) <= tolerance_of(expected.dtype) * largest + max(noise, _rounding(expected))


def _largest(tensor: Tensor) -> float:
    """Give the largest absolute value; NaN if there is one."""
    return float(tensor.abs().max()) if tensor.numel() else 0.0


def _rounding(tensor: Tensor) -> float:
    return _ROUNDING * torch.finfo(tensor.dtype).eps * _largest(tensor)
