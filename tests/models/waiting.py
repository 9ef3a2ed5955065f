"""Lists what makes the host wait for a device: operators that read a value back, and copies to the host."""

import torch
from torch import Tag, Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READING = {Tag.data_dependent_output, Tag.dynamic_output_shape}
TO_HOST = {Tensor.cpu, Tensor.tolist, Tensor.numpy}
BY_INDEX = {torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_}


class Waits(TorchDispatchMode):
    """Lists operators whose result, or its size, depends on values, and copies, which need no operator on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._copies = _CopiesToHost(self.names)

    def __enter__(self) -> "Waits":
        self._copies.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._copies.__exit__(*error)

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        if func.overloadpacket in BY_INDEX:
            reads = any(index is not None and index.dtype == torch.bool for index in args[1])
        else:
            reads = bool(READING & set(func.tags))
        if reads:
            self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


class _CopiesToHost(TorchFunctionMode):
    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(self, func, _types, args=(), kwargs=None):
        if func in TO_HOST:
            self._names.append(func.__name__)
        return func(*args, **(kwargs or {}))
