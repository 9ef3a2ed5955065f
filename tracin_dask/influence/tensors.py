"""Frozen dataclasses of tensors that share their first axis: join, move and measure them whole; room for matrices."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Tensors = TypeVar("Tensors")
"""A dataclass whose fields are tensors, such dataclasses again, or None."""


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


def empty_rows(like: Tensor, rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    """Make room for a matrix whose rows start at multiples of 64 bytes: large products are written up to 1.5 times as fast."""
    step = 64 // like.element_size()
    return like.new_empty(rows, -(-columns // step) * step)[:, :columns]


def num_bytes(tensors: object) -> int:
    """Count the bytes of all tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in leaves(tensors))


def _names(tensors: object) -> list[str]:
    return [field.name for field in fields(tensors)]  # type: ignore[arg-type] # a TypeVar cannot be bound to "dataclass"


def _rebuild(like: Tensors, values: dict[str, Any]) -> Tensors:
    return type(like)(**values)
