"""Kinks near which two correct programs may differentiate differently: the input of a ReLU within rounding of 0."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten


def _distance(values: Tensor, *_: object) -> Tensor:
    """Give how far the real numbers lie from 0; the absolute value of complex ones has no kink elsewhere."""
    return values.abs() if values.is_floating_point() else values.new_ones(1, dtype=torch.float64)


def _distance_in_norm(values: Tensor, order: float = 2, *_: object) -> Tensor:
    return _distance(values) if order == 1 else values.new_ones(1, dtype=torch.float64)


_DISTANCES: Mapping[object, Callable[..., Tensor]] = {
    _ATEN.relu: _distance,
    _ATEN.relu_: _distance,
    _ATEN.leaky_relu: _distance,
    _ATEN.clamp_min: lambda values, least, *_: _distance(values - least),
    _ATEN.abs: _distance,
    _ATEN.linalg_vector_norm: _distance_in_norm,
}
"""The operations with a kink, and how far their inputs lie from it."""


class KinkWatch(TorchDispatchMode):  # type: ignore[no-untyped-call] # PyTorch has no types here
    """Notes whether anything that is computed meanwhile lies within `margin` of a kink."""

    def __init__(self, margin: float) -> None:
        """Start with nothing near."""
        super().__init__()  # type: ignore[no-untyped-call] # PyTorch has no types here
        self._margin = margin
        self.is_near = False

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
            self.is_near |= bool((distance(*cast("tuple[Tensor, ...]", args)) < self._margin).any())
        return func(*args, **(kwargs or {}))
