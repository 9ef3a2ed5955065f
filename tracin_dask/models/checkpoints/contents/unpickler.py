"""Reads pickles of plain values: nothing is imported or run, and only the stand-ins of `harmless` are called."""

import pickle  # find_class, which alone could import anything, gives nothing but stand-ins
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from mmap import mmap
from typing import IO, Any, TypeAlias, cast

import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents.harmless import HARMLESS, type_of_numbers
from tracin_dask.models.checkpoints.contents.tensors import Storage

_ITEM_TYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "Untyped": torch.uint8,
    "QInt8": torch.int8,
    "QUInt8": torch.uint8,
    "QInt32": torch.int32,
}
"""Of torch's classes of storages, by what stands before `Storage`."""
_MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}
"""Operations that make Python's table of objects as long as the number in the file says."""
_PYTHON_2, _PYTHON_3 = "__builtin__", "builtins"
_DEEPEST = 100
"""Levels of dictionaries and lists in each other."""
FAILURES = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading a damaged pickle raises."""


class NotPlainError(CheckpointError):
    """A file that holds objects which would have to be unpickled, which can run code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageName:
    """How a pickle names a row of values: a key, and the number of values of a type."""

    key: str
    dtype: torch.dtype
    length: int
    view: tuple[Any, ...] | None = None
    """In files of the older format: the part of the storage."""


Stream: TypeAlias = BytesIO | mmap
FindStorage = Callable[[StorageName], Storage]


def unpickle(stream: Stream, find: FindStorage) -> object:
    """Read the next pickle of a stream; `find` gives the values of tensors.

    Raises
    ------
    NotPlainError
        If it holds objects that are not harmless.
    CheckpointError
        If it claims what it cannot hold.
    Exception
        One of `FAILURES` if it is damaged.
    """
    start = stream.tell()
    _scan(stream)
    stream.seek(start)
    found = _Unpickler(stream, find).load()
    _refuse_depth(found)
    return found


def _scan(stream: Stream) -> None:
    """Read once without making anything: lengths are those of the file, and numbers of memo entries are small."""
    for places, (operation, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", stream)), start=1):
        if operation.name in _MEMO and isinstance(argument, int) and argument > places:
            raise CheckpointError(f"its pickle numbers object {argument:,} where there are {places:,}; copy it again")


def _refuse_depth(found: object) -> None:
    """Refuse dictionaries and lists that lie deeper in each other than any trainer writes."""
    layer, seen = [found], set[int]()
    for _ in range(_DEEPEST):
        new = [value for value in layer if isinstance(value, dict | list | tuple) and id(value) not in seen]
        seen.update(map(id, new))
        layer = [inner for value in new for inner in (value.values() if isinstance(value, dict) else value)]
        if not layer:
            return
    raise CheckpointError(f"its dictionaries and lists lie more than {_DEEPEST} deep in each other")


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Stream, find: FindStorage) -> None:
        super().__init__(stream, encoding="utf-8")
        self._find = find

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a stand-in
        full = f"{module.replace(_PYTHON_2, _PYTHON_3)}.{name}"
        if full in HARMLESS:
            return HARMLESS[full]
        if module.partition(".")[0] == "torch":
            if name.removesuffix("Storage") in _ITEM_TYPES and name.endswith("Storage"):
                return _ITEM_TYPES[name.removesuffix("Storage")]
            kind = type_of_numbers(name)
            if kind is not None:
                return kind
            if name in ("Tensor", "Parameter", "Buffer") or name.startswith("per_"):
                return HARMLESS["builtins.object"]
        raise NotPlainError(full)

    def persistent_load(self, pid: Any) -> Storage:  # noqa: ANN401 - what the file holds
        tag, dtype, key, _, length, *view = pid
        if tag != "storage" or not isinstance(dtype, torch.dtype) or type(length) is not int or length < 0:
            raise CheckpointError("its pickle names values in an unknown way; copy it again")
        return self._find(StorageName(key=str(key), dtype=dtype, length=length, view=view[0] if view else None))
