"""Counts the operators that a computation calls: on a GPU each is a launch of a kernel that the host has to make."""

from collections import Counter
from collections.abc import Callable

from torch.utils._python_dispatch import TorchDispatchMode

from tracin_dask.matmul import exact_matmul

exact_matmul()  # asks the CPU by a product, once per process


class Calls(TorchDispatchMode):
    """Counts the operators that make or change values, by their names; views of tensors cost a GPU nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: Counter[str] = Counter()

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        aliases = [one.alias_info for one in func._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            self.numbers[str(func)] += 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        return self.numbers.total()


def calls_of(work: Callable[[], object]) -> int:
    """Count the operators of a computation."""
    with Calls() as calls:
        work()
    return calls.total
