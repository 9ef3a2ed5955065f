"""Operator calls of a computation, its copies to a device, and its waits for it; counted without a GPU."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tracin_dask.influence.preconditioners.row_sums import RowSums, TraceSums
from tracin_dask.influence.tiling import ON_GPU
from tracin_dask.runs.work.oom_retry import InPieces

OF_A_GPU: Mapping[str, Callable[[torch.device], object]] = {
    "tiling_of": lambda _: ON_GPU,
    "computes_ahead": lambda _: True,
}
"""What the package asks of a device, by the functions' names, and what they say of a GPU."""
PACKAGE = "tracin_dask."
TAKE_A_BATCH = ((InPieces, "parts_ahead"), (RowSums, "add"), (TraceSums, "add"))
"""What goes through a batch: a scorer, and the passes for the curvature."""


@dataclass(slots=True)
class Calls:
    """What was counted."""

    operators: int = 0
    """Calls of operators that are no views: what a GPU is given to do, and allocations."""
    waits: int = 0
    """Calls after which the host goes on only when a device has done its work."""
    copies: int = 0
    """Copies of index arrays from the host to a device."""
    batches: int = 0
    """Batches that were gone through: scored, or taken in by a pass for the curvature."""

    def __sub__(self, other: "Calls") -> "Calls":
        """Give what was counted beyond another count."""
        return Calls(
            operators=self.operators - other.operators,
            waits=self.waits - other.waits,
            copies=self.copies - other.copies,
            batches=self.batches - other.batches,
        )


@contextmanager
def counted() -> Iterator[Calls]:
    """Count what this thread calls within the context."""
    found = Calls()
    with _Copies(found), _Operators(found), _batches(found):
        yield found


@contextmanager
def _batches(found: Calls) -> Iterator[None]:
    """Count batches where they are taken in."""
    with ExitStack() as stack:
        for owner, name in TAKE_A_BATCH:
            stack.enter_context(patch.object(owner, name, _noting(getattr(owner, name), found)))
        yield


def _noting(method: Callable[..., Any], found: Calls) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:  # noqa: ANN401 - the method's own
        found.batches += 1
        return method(*arguments)

    return noted


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Let the package take the way of a GPU on this CPU: the sizes of its pieces, and what it does not wait for.

    Every module that asks is answered so, whichever these are.
    """
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            for question in OF_A_GPU.keys() & vars(module).keys() if name.startswith(PACKAGE) else ():
                stack.enter_context(patch.object(module, question, OF_A_GPU[question]))
        yield


def makes_wait(operator: OpOverload, arguments: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Tell whether an operator reads a value back, or makes a tensor whose size depends on values."""
    tags, name = operator.tags, operator.overloadpacket
    if name in {torch.ops.aten.index, torch.ops.aten.index_put_, torch.ops.aten.index_put}:
        return any(index is not None and index.dtype == torch.bool for index in arguments[1])
    if name is torch.ops.aten.repeat_interleave:
        return options.get("output_size") is None
    return torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags


def _is_view(operator: OpOverload) -> bool:
    results = (result.alias_info for result in operator._schema.returns)  # noqa: SLF001 - there is no other way to ask
    return any(alias is not None and not alias.is_write for alias in results)


class _Operators(TorchDispatchMode):
    """Counts operators, also those within differentiated and mapped functions."""

    def __init__(self, found: Calls) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - what the operator gives
        del types
        self._found.operators += not _is_view(func)
        self._found.waits += makes_wait(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


class _Copies(TorchFunctionMode):
    """Counts copies to the host and from it, which are no operators where a tensor is there already."""

    def __init__(self, found: Calls) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Any = None,  # noqa: ANN401 - the function's own
    ) -> Any:  # noqa: ANN401 - what the function gives
        del types
        self._found.waits += func is Tensor.cpu
        self._found.copies += func is Tensor.to and (kwargs or {}).get("non_blocking", False)
        return func(*args, **(kwargs or {}))
