"""Frozen dataclasses of tensors that share their first axis: join, move and measure them whole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

Tensors = TypeVar("Tensors")
"""A dataclass whose fields are tensors, such dataclasses again, or None."""
_COLUMNS_STEP = 16
_PADDED_FROM = 64
"""Fewer columns would be mostly zeros."""
_SELECTED_PARTS = 8
_SELECTED_NUMBERS = 2**18
"""Copies of fewer numbers are not made in parts."""


def dot_rows(left: Float[Tensor, "batch width"], right: Float[Tensor, "batch width"]) -> Float[Tensor, " batch"]:
    """Multiply each row with the row of the same number."""
    return (left * right).sum(dim=1)


def select_rows(
    stack: Float[Tensor, "*stack row width"], rows: Int[Tensor, " some_row"]
) -> Float[Tensor, "*stack some_row width"]:
    """Take the same rows of each matrix: of one, or of a stack of them."""
    if stack.dim() == 2:
        return stack.index_select(0, rows)
    if len(stack) == 1:
        return stack[0].index_select(0, rows)[None]
    first_rows = stack.shape[1] * torch.arange(len(stack), device=stack.device)
    places = (first_rows[:, None] + rows).flatten()
    return stack.flatten(end_dim=1).index_select(0, places).view(len(stack), len(rows), stack.shape[2])


def selected_at_a_time(num_rows: int, width: int) -> int:
    """Choose how many of so many rows `add_selected` copies at a time: an eighth, or the few that take little."""
    return max(num_rows // _SELECTED_PARTS, _SELECTED_NUMBERS // max(1, width), 1)


def add_selected(
    total: Float[Tensor, "row width"],
    places: Int[Tensor, " some_row"],
    vectors: Float[Tensor, "vector width"],
    chosen: Int[Tensor, " some_row"],
) -> None:
    """Add chosen vectors at some places, in place, with copies of a part of them at a time."""
    step = selected_at_a_time(len(total), total.shape[1])
    for start in range(0, len(places), step):
        some = slice(start, start + step)
        total.index_add_(0, places[some], vectors.index_select(0, chosen[some]))


def concatenate(parts: Sequence[Tensors]) -> Tensors:
    """Put the parts one after the other along the first axis."""
    return _mapped(lambda *values: torch.cat(values), *parts)


def select(tensors: Tensors, rows: Int[Tensor, " row"]) -> Tensors:
    """Copy some rows of every tensor."""
    return _mapped(lambda value: value.index_select(0, rows), tensors)


def take(tensors: Tensors, rows: slice) -> Tensors:
    """Take some neighbouring rows of every tensor, as views."""
    return _mapped(lambda value: value[rows], tensors)


def move(tensors: Tensors, device: torch.device | str) -> Tensors:
    """Move every tensor to a device."""
    return _mapped(lambda value: value.to(device), tensors)


def cast_tensors(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    """Turn every floating-point tensor into one of a type."""
    return _mapped(lambda value: value.to(dtype) if value.is_floating_point() else value, tensors)


def apart(numbers: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Cut numbers into mantissas, from 1/2 to below 1, and powers of two in float64, which no square makes denormal."""
    mantissas = torch.frexp(numbers).mantissa
    powers = numbers.double() / mantissas.double()  # exact
    return mantissas, torch.where(mantissas == 0, 1, powers)


def wide_squares(squares: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
    """Give squares as numbers of float64; those below the normal numbers have lost digits, and become 0."""
    return squares.masked_fill(squares.abs() < torch.finfo(squares.dtype).tiny, 0).double()


def scaled_squares(squares: Float[Tensor, " row"], by: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
    """Multiply squares with those of numbers of float64."""
    return wide_squares(squares).mul_(by.square())


def add_up(parts: Iterable[Float[Tensor, " row"]], like: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
    """Add tensors; zeros, of another tensor's shape and type, where there are none."""
    total = None
    for part in parts:
        total = part if total is None else total + part
    return torch.zeros_like(like) if total is None else total


def leaves(tensors: object) -> Iterator[Tensor]:
    """Give every tensor."""
    found: list[Tensor] = []

    def visit(value: Tensor) -> Tensor:
        found.append(value)
        return value

    _mapped(visit, tensors)
    yield from found


def laid_out(num_columns: int) -> int:
    """Count the columns that a large matrix gets so that its rows start at multiples of 64 bytes.

    Products are written up to 1.5 times as fast into such rows; the additional columns are zero.
    """
    return num_columns if num_columns < _PADDED_FROM else -(-num_columns // _COLUMNS_STEP) * _COLUMNS_STEP


def with_rows(tensors: Tensors, num_rows: int) -> Tensors:
    """Add rows of zeros up to so many."""

    def extended(value: Tensor) -> Tensor:
        if len(value) >= num_rows:
            return value
        return torch.cat([value, value.new_zeros(num_rows - len(value), *value.shape[1:])])

    return _mapped(extended, tensors)


def num_bytes(tensors: object) -> int:
    """Count the bytes of all tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in leaves(tensors))


def _mapped(function: Callable[..., Tensor], first: Tensors, *others: Tensors) -> Tensors:
    """Apply a function to the tensors that stand in one place of each dataclass; None stays None."""

    def of_field(*values: Any) -> Any:  # noqa: ANN401 - a tensor, such a dataclass, or None
        if values[0] is None:
            return None
        return function(*values) if isinstance(values[0], Tensor) else _mapped(function, *values)

    names = [field.name for field in fields(first)]  # type: ignore[arg-type] # a TypeVar cannot be bound to "dataclass"
    return type(first)(**{name: of_field(*(getattr(one, name) for one in (first, *others))) for name in names})
