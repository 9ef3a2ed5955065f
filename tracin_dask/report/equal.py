"""Equality of values that hold arrays: of all parts, to the last bit."""

from dataclasses import Field
from typing import Any, ClassVar

import pyarrow as pa
from numpy import ndarray


class EqualByParts:
    """A frozen dataclass (with `eq=False`) whose values are equal if all fields are."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __eq__(self, other: object) -> bool:
        """Compare the fields; arrays by type, shape and bits, so that NaN equals NaN."""
        if type(other) is not type(self):
            return NotImplemented
        return all(_is_equal(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)

    __hash__ = None  # type: ignore[assignment] # arrays have no hash


def _is_equal(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, ndarray) and isinstance(other, ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, pa.Array) and isinstance(other, pa.Array):
        return bool(one.equals(other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(one == other)
