"""Kinks near which two correct programs may differentiate differently: the input of a ReLU within rounding of 0."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten


def _from_zero(values: Tensor, *_: object, **__: object) -> Tensor:
    """Give how far real numbers lie from 0; the absolute value of a complex number has a kink in one point only."""
    return values.abs() if values.is_floating_point() else torch.full((1,), math.inf)


def _from_zero_in_sum(values: Tensor, order: float | int = 2, *_: object, **__: object) -> Tensor:
    """Give the same where absolute values are added up."""
    return _from_zero(values) if order == 1 else torch.full((1,), math.inf)


def _from_bounds(values: Tensor, *bounds: float | int | None, **named: float | int | None) -> Tensor:
    """Give how far numbers lie from the next bound."""
    distances = [_from_zero(values - bound) for bound in (*bounds, *named.values()) if bound is not None]
    return torch.stack(distances).amin(dim=0)


_DISTANCES: Mapping[object, Callable[..., Tensor]] = {
    _ATEN.relu: _from_zero,
    _ATEN.relu_: _from_zero,
    _ATEN.leaky_relu: _from_zero,
    _ATEN.abs: _from_zero,
    _ATEN.linalg_vector_norm: _from_zero_in_sum,
    _ATEN.clamp: _from_bounds,
    _ATEN.clamp_min: _from_bounds,
    _ATEN.clamp_max: _from_bounds,
    _ATEN.hardtanh: _from_bounds,
}
"""The operations with a kink, and how far their inputs lie from it."""


class KinkWatch(TorchDispatchMode):  # type: ignore[no-untyped-call] # PyTorch has no types here
    """Notes whether anything that is computed meanwhile lies within `margin` of a kink."""

    def __init__(self, margin: float) -> None:
        """Start with nothing near."""
        super().__init__()  # type: ignore[no-untyped-call] # PyTorch has no types here
        self._margin = margin
        self.is_near = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Let PyTorch not guard this against its compiler, which takes a second to import and is not used."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operation of PyTorch
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the operation gives
        """Look at the inputs of an operation, and carry it out."""
        distance = _DISTANCES.get(func.overloadpacket)
        if distance is not None and self._margin > 0:
            self.is_near |= bool((distance(*args, **(kwargs or {})) < self._margin).any())
        return func(*args, **(kwargs or {}))
