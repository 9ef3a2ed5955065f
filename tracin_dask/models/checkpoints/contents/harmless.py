"""Stand-ins for the objects that trainers put beside the weights: numbers, texts and dictionaries come of them.

The names of classes and functions in a file are looked up here and nowhere else, so that reading a file calls nothing
but these. They copy nothing, allocate nothing that the file does not hold, and cannot be changed by the file.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Never

import numpy as np
import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents import tensors

_NUMPY_TYPE = re.compile(r"[biufcSU]\d{1,4}")


class _Fixed(type):
    """Classes whose attributes no file can set."""

    def __setattr__(cls, name: str, value: object) -> Never:
        raise CheckpointError(f"the file would change {cls.__name__}.{name}")


class Function(metaclass=_Fixed):
    """Stands for a function, and cannot be changed either."""

    __slots__ = ("_called",)

    def __init__(self, called: Callable[..., object]) -> None:
        """Stand for it by this function."""
        self._called = called

    def __call__(self, *arguments: object) -> object:
        """Call the function."""
        return self._called(*arguments)

    def __setstate__(self, state: object) -> None:
        """Stay as it is."""
        raise CheckpointError("the file would change a function")


class Dictionary(dict[Any, Any], metaclass=_Fixed):
    """Stands for OrderedDict, Namespace, defaultdict and their like."""

    def __setstate__(self, state: object) -> None:
        """Take the attributes of a Namespace; those of an OrderedDict are no entries."""


class Namespace(Dictionary, metaclass=_Fixed):
    """Stands for argparse.Namespace and LibKGE's Config: the attributes are the entries."""

    def __setstate__(self, state: object) -> None:
        """Take the attributes."""
        if isinstance(state, dict):
            self.update(state)


class Text(str, metaclass=_Fixed):
    """Stands for TorchVersion."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Have no attributes."""


class Inert(metaclass=_Fixed):
    """Stands for what is never read: an array of NumPy, a date, a type."""

    __slots__ = ()

    def __new__(cls, *_: object) -> "Inert":
        """Ignore what it would be made from."""
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Ignore the attributes."""


class NumpyType(metaclass=_Fixed):
    """Stands for numpy.dtype."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, *_: object) -> None:
        """Take the code, like f8."""
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the order of bytes."""
        self.order = state[1]


class EncodedBytes(metaclass=_Fixed):
    """Stands for bytes in files of pickle's protocol 2, which are texts there."""

    __slots__ = ("text",)

    def __init__(self, text: str, *_: object) -> None:
        """Keep the text."""
        self.text = text

    def __setstate__(self, state: object) -> None:
        """Have no attributes."""


def _numpy_scalar(kind: NumpyType, data: bytes | EncodedBytes) -> object:
    """Give the number or text of a NumPy scalar."""
    if not _NUMPY_TYPE.fullmatch(kind.code):
        return Inert()
    found = np.dtype(kind.order.replace("|", "=") + kind.code)
    raw = data.text.encode("latin1") if isinstance(data, EncodedBytes) else data
    return np.frombuffer(raw, found, count=1)[0].item()


def _path(*parts: str) -> str:
    """Give the text of a path."""
    return "/".join(parts).replace("//", "/", 1)


def _ordered(*items: Iterable[tuple[Any, Any]]) -> Dictionary:
    """Make a dictionary, of the pairs that Python 2 wrote."""
    return Dictionary(*items)


def _dictionary(*_: object) -> Dictionary:
    """Make an empty dictionary: a defaultdict gets its entries later, its default value is ignored."""
    return Dictionary()


def _as_given(value: object = (), *_: object) -> object:
    """Give the only argument: what a set, a Counter or a Size is made from."""
    return value


def _with_attributes(function: object, _type: object, arguments: tuple[Any, ...], _state: object) -> object:
    """Stand for `torch._tensor._rebuild_from_type_v2`: a tensor with attributes, which are ignored."""
    if not isinstance(function, Function):
        raise CheckpointError("its pickle makes a tensor in an unknown way; copy it again")
    return function(*arguments)


_TORCH = {
    "torch._utils._rebuild_tensor_v2": Function(tensors.rebuild),
    "torch._utils._rebuild_tensor": Function(tensors.rebuild),
    "torch._utils._rebuild_tensor_v3": Function(tensors.rebuild_with_type),
    "torch._utils._rebuild_parameter": Function(tensors.rebuild_parameter),
    "torch._utils._rebuild_parameter_with_state": Function(tensors.rebuild_parameter),
    "torch._utils._rebuild_sparse_tensor": Function(tensors.rebuild_sparse),
    "torch._utils._rebuild_qtensor": Function(tensors.rebuild_quantised),
    "torch._utils._rebuild_meta_tensor_no_storage": Function(tensors.rebuild_meta),
    "torch._utils._rebuild_nested_tensor": Function(tensors.rebuild_nested),
    "torch._tensor._rebuild_from_type_v2": Function(_with_attributes),
    "torch.Size": Function(_as_given),
    "torch.device": Function(_as_given),
    "torch.serialization._get_layout": Function(_as_given),
    "torch.torch_version.TorchVersion": Text,
}
_NUMPY = {
    "numpy.dtype": NumpyType,
    "numpy.ndarray": Inert(),
    **{f"numpy.{core}.multiarray.scalar": Function(_numpy_scalar) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": Inert for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": Inert for core in ("core", "_core")},
}
_PYTHON = {
    "collections.OrderedDict": Function(_ordered),
    "collections.defaultdict": Function(_dictionary),
    "collections.Counter": Function(_as_given),
    "argparse.Namespace": Namespace,
    "builtins.set": Function(_as_given),
    "builtins.frozenset": Function(_as_given),
    "builtins.complex": complex,
    "_codecs.encode": EncodedBytes,
    "builtins.bytes": EncodedBytes,
    "builtins.bytearray": EncodedBytes,
    **{f"builtins.{name}": Inert() for name in ("list", "dict", "tuple", "str", "int", "float", "bool", "object")},
    **{f"datetime.{name}": Inert for name in ("datetime", "date", "time", "timedelta", "timezone")},
    **{
        f"{module}.{name}": Function(_path)
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    },
}
_LIGHTNING = {
    f"{module}.AttributeDict": Dictionary
    for module in (
        "pytorch_lightning.utilities.parsing",
        "lightning.pytorch.utilities.parsing",
        "lightning_fabric.utilities.data",
        "lightning.fabric.utilities.data",
    )
}
_LIBKGE = {"kge.config.Config": Namespace}
HARMLESS: dict[str, Any] = _TORCH | _NUMPY | _PYTHON | _LIGHTNING | _LIBKGE
"""By the full names in files."""


def type_of_numbers(name: str) -> torch.dtype | None:
    """Give the type of numbers that torch has under this name, like float32."""
    found = getattr(torch, name, None)
    return found if isinstance(found, torch.dtype) else None
