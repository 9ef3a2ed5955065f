"""Frozen dataclasses of tensors that share their first axis: join, move and measure them whole."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Tensors = TypeVar("Tensors")
"""A dataclass whose fields are tensors, such dataclasses again, or None."""
_COLUMNS_STEP = 16
_PADDED_FROM = 64
"""Fewer columns would be mostly zeros."""


def dot_rows(left: Float[Tensor, "batch width"], right: Float[Tensor, "batch width"]) -> Float[Tensor, " batch"]:
    """Multiply each row with the row of the same number."""
    return (left * right).sum(dim=1)


def concatenate(parts: Sequence[Tensors]) -> Tensors:
    """Put the parts one after the other along the first axis."""

    def join(values: list[Any]) -> Any:  # noqa: ANN401 - a field is a tensor or such a dataclass
        return torch.cat(values) if isinstance(values[0], Tensor) else concatenate(values)

    return _rebuild(parts[0], {f: join([getattr(part, f) for part in parts]) for f in _names(parts[0])})


def move(tensors: Tensors, device: torch.device | str) -> Tensors:
    """Move every tensor to a device."""

    def moved(value: Any) -> Any:  # noqa: ANN401 - a field is a tensor or such a dataclass
        if value is None:
            return None
        return value.to(device) if isinstance(value, Tensor) else move(value, device)

    return _rebuild(tensors, {f: moved(getattr(tensors, f)) for f in _names(tensors)})


def leaves(tensors: object) -> Iterator[Tensor]:
    """Give every tensor."""
    for name in _names(tensors):
        value = getattr(tensors, name)
        if isinstance(value, Tensor):
            yield value
        elif value is not None:
            yield from leaves(value)


def laid_out(num_columns: int) -> int:
    """Count the columns that a large matrix gets so that its rows start at multiples of 64 bytes.

    Products are written up to 1.5 times as fast into such rows; the additional columns are zero.
    """
    return num_columns if num_columns < _PADDED_FROM else -(-num_columns // _COLUMNS_STEP) * _COLUMNS_STEP


def with_rows(tensors: Tensors, num_rows: int) -> Tensors:
    """Add rows of zeros up to so many."""

    def extended(value: Any) -> Any:  # noqa: ANN401 - a field is a tensor or such a dataclass
        if isinstance(value, Tensor) and len(value) < num_rows:
            return torch.cat([value, value.new_zeros(num_rows - len(value), *value.shape[1:])])
        return value if value is None or isinstance(value, Tensor) else with_rows(value, num_rows)

    return _rebuild(tensors, {f: extended(getattr(tensors, f)) for f in _names(tensors)})


def num_bytes(tensors: object) -> int:
    """Count the bytes of all tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in leaves(tensors))


def _names(tensors: object) -> list[str]:
    return [field.name for field in fields(tensors)]  # type: ignore[arg-type] # a TypeVar cannot be bound to "dataclass"


def _rebuild(like: Tensors, values: dict[str, Any]) -> Tensors:
    return type(like)(**values)
