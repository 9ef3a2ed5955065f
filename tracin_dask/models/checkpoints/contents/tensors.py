"""Tensors of a file as views of its bytes: none may claim more values than the file holds for it."""

import math
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError

_MOST_SHARING = 4
"""How many tensors may hold the same bytes, on average: layers that share their weights do."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Counts the bytes that all tensors of a file claim, and refuses more than the file can hold."""

    file_bytes: int
    claimed_bytes: int = 0

    def claim(self, num_bytes: int) -> None:
        """Count a tensor."""
        self.claimed_bytes += num_bytes
        if self.claimed_bytes > _MOST_SHARING * self.file_bytes:
            raise CheckpointError(
                f"its tensors claim more than {_MOST_SHARING} times the {self.file_bytes:,} bytes of the file; "
                "no training writes such a file"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A row of values in the file, of which tensors are views; empty while the layout of a file is read."""

    values: Tensor
    ledger: Ledger | None

    def __setstate__(self, state: object) -> None:
        """Stay as it is, whatever a file says."""
        raise CheckpointError("the file would change its own values")

    def view(self, place: tuple[Any, Any, Any], dtype: torch.dtype | None = None) -> Tensor:
        """Give the tensor of this (offset, size, stride).

        Raises
        ------
        CheckpointError
            If it has more values than the storage, or lies outside of it.
        """
        values = self.values if dtype is None else self.values.view(dtype)
        if self.ledger is None:
            return values
        offset, size, stride = _checked(place)
        wanted, held = math.prod(size), values.numel()
        if wanted > held:
            raise CheckpointError(
                f"a tensor of the shape {size} claims {wanted:,} values ({wanted * values.element_size():,} bytes), "
                f"and the file holds {held:,} for it: it was expanded, or is damaged; save a .clone() of it"
            )
        if wanted and offset + sum(starmap(_span, zip(size, stride, strict=True))) >= held:
            raise CheckpointError(f"a tensor of the shape {size} lies outside of its {held:,} values")
        self.ledger.claim(wanted * values.element_size())
        return values.as_strided(size, stride, offset if wanted else 0)


def _span(rows: int, step: int) -> int:
    return (rows - 1) * step


def _checked(place: tuple[Any, Any, Any]) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Refuse what is not a place of a tensor: numbers below 0, or anything but whole numbers."""
    offset, size, stride = place[0], tuple(place[1]), tuple(place[2])
    if any(type(number) is not int or not 0 <= number < 1 << 63 for number in (offset, *size, *stride)):
        raise CheckpointError("the shape of a tensor is damaged; copy the file again")
    return offset, size, stride


@dataclass(frozen=True, slots=True)
class Unusable:
    """A tensor that no model's weights can be: sparse, quantised, without values, ..."""

    what: str


def rebuild(storage: Storage, offset: object, size: object, stride: object, *rest: object) -> Tensor | Unusable:
    """Stand for `torch._utils._rebuild_tensor_v2`."""
    return Unusable("a conjugated or negated view") if any(rest[2:]) else storage.view((offset, size, stride))


def rebuild_with_type(storage: Storage, offset: object, size: object, stride: object, *rest: Any) -> Tensor | Unusable:  # noqa: ANN401 - what the file holds
    """Stand for `torch._utils._rebuild_tensor_v3`, whose storages are bytes."""
    return Unusable("a conjugated or negated view") if any(rest[3:]) else storage.view((offset, size, stride), rest[2])


def rebuild_parameter(data: object, *_: object) -> object:
    """Stand for `torch._utils._rebuild_parameter`: a parameter's tensor is all that is read of it."""
    return data


def rebuild_sparse(*_: object) -> Unusable:
    """Stand for `torch._utils._rebuild_sparse_tensor`."""
    return Unusable("a sparse tensor")


def rebuild_quantised(*_: object) -> Unusable:
    """Stand for `torch._utils._rebuild_qtensor`."""
    return Unusable("a quantised tensor")


def rebuild_meta(*_: object) -> Unusable:
    """Stand for `torch._utils._rebuild_meta_tensor_no_storage`."""
    return Unusable("a meta tensor, which has no values")


def rebuild_nested(*_: object) -> Unusable:
    """Stand for `torch._utils._rebuild_nested_tensor`."""
    return Unusable("a nested tensor")


def usable(tensor: Tensor) -> Tensor | Unusable:
    """Tell whether a tensor that torch has made can be weights; those of a file that was unpickled can be any."""
    if tensor.is_meta:
        return Unusable("a meta tensor, which has no values")
    if tensor.is_quantized:
        return Unusable("a quantised tensor")
    if tensor.layout is not torch.strided or tensor.is_nested:
        return Unusable("a sparse or nested tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return Unusable(f"expanded to {tensor.numel():,} values from fewer")
    return tensor
