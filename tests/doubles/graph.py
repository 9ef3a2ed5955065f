"""Graphs of kernels that the CPU plays: operators are recorded as a GPU captures them, and carried out at each replay.

As on a GPU, capturing computes nothing that lasts, reading a value back fails, and a replay reads and writes the same
memory each time: what Python computed from values while it was captured stays as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch import Tag, Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Graph:
    """What was captured."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.num_replays = 0

    def replay(self) -> None:
        """Carry all operators out again; new results go where the captured ones lie."""
        self.num_replays += 1
        with torch.no_grad():
            for func, args, kwargs, results in self.calls:
                for new, old in zip(tree_leaves(func(*args, **kwargs)), tree_leaves(results), strict=True):
                    if isinstance(old, Tensor) and new.data_ptr() != old.data_ptr():
                        old.copy_(new)


class _Capture(TorchDispatchMode):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.made: set[int] = set()
        self.before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        if Tag.data_dependent_output in func.tags:
            raise RuntimeError("operation not permitted when stream is capturing")
        for tensor in tensors((args, kwargs)):
            if place(tensor) not in self.made and place(tensor) not in self.before:
                self.before[place(tensor)] = (whole(tensor), whole(tensor).clone())
        results = func(*args, **(kwargs or {}))
        self.made |= {place(tensor) for tensor in tensors(results)} - self.before.keys()
        self.graph.calls.append((func, args, kwargs or {}, results))
        return results

    def undo(self) -> None:
        """Give all tensors that were there before the values that they had."""
        for tensor, values in self.before.values():
            tensor.copy_(values)


def tensors(tree: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def whole(tensor: Tensor) -> Tensor:
    """Give all numbers of a tensor's storage."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=tensor.dtype).set_(storage, 0, (storage.nbytes() // tensor.element_size(),))


@contextmanager
def capture(graph: Graph) -> Iterator[None]:
    random, recording = torch.get_rng_state(), _Capture(graph)
    try:
        with recording:
            yield
    finally:
        with torch.no_grad():
            recording.undo()
        torch.set_rng_state(random)


@contextmanager
def graphs_on_this_cpu() -> Iterator[list[Graph]]:
    """Let PyTorch capture graphs in this process, within the context; gives those that are made."""
    made: list[Graph] = []

    def make() -> Graph:
        made.append(Graph())
        return made[-1]

    stream = SimpleNamespace(wait_stream=lambda _other: None)
    answers = {
        "CUDAGraph": make,
        "graph": capture,
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda _stream: nullcontext(),
    }
    with patch.multiple(torch.cuda, **answers):
        yield made
