"""How far an influence may be from plain automatic differentiation, by the precision of the run."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tracin_dask.influence.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What a precision allows."""

    limit: float
    """The largest deviation, as a part of the product of the lengths of both gradients."""
    margin: float
    """How near to a kink rounding may decide; 0 where it decides everywhere, and the limit allows for that."""
    least_square: float
    """Gradients whose squared length is smaller have lost digits."""


_FULL: Mapping[torch.dtype, tuple[float, float]] = {torch.float64: (1e-9, 1e-9), torch.float32: (1e-4, 1e-5)}
_ROUNDED: Mapping[Precision, float] = {
    Precision.TF32: 0.05,
    Precision.FP16: 0.05,
    Precision.BF16: 0.2,
    Precision.CPU_BF16: 0.2,
}


def tolerance_of(precision: Precision, dtype: torch.dtype) -> Tolerance:
    """Give what an engine's precision and working type allow."""
    limit, margin = _FULL[dtype] if precision is Precision.FULL else (_ROUNDED[precision], 0.0)
    info = torch.finfo(dtype)
    return Tolerance(limit=limit, margin=margin, least_square=info.tiny / info.eps)
