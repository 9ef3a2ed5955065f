"""A GPU that the CPU plays in this process: what is sent to it stays where it is, and its figures are made up."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch.autograd import DeviceType
from torch.overrides import TorchFunctionMode

MEMORY_BYTES = 2**36
PEAK_BYTES = 2**24
KERNEL_SECONDS = 1e-4


class _OnThisCpu(TorchFunctionMode):
    """Puts tensors and modules on the CPU where the code asks for `cuda`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.pin_memory:
            return args[0]
        return func(*map(_here, args), **{name: _here(value) for name, value in (kwargs or {}).items()})


def _here(value: object) -> object:
    is_device = isinstance(value, str | torch.device) and str(value) == "cuda"
    return torch.device("cpu") if is_device else value


class Profile:
    """Sees one kernel, and a copy that takes as long after it, on whatever runs."""

    def __init__(self, **_: object) -> None:
        """Take what a profiler takes."""

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def events(self) -> list[SimpleNamespace]:
        """List both."""
        length = KERNEL_SECONDS * 1e6
        return [event("a kernel", 0, length), event("Memcpy DtoH", length, 2 * length)]


def event(name: str, start: float, end: float, device: DeviceType = DeviceType.CUDA) -> SimpleNamespace:
    """Give what the profiler tells of a kernel, in microseconds."""
    return SimpleNamespace(name=name, device_type=device, time_range=SimpleNamespace(start=start, end=end))


@contextmanager
def gpu_on_this_cpu() -> Iterator[None]:
    """Let PyTorch have a GPU in this process, within the context."""
    answers = {
        "is_available": True,
        "synchronize": None,
        "empty_cache": None,
        "reset_peak_memory_stats": None,
        "max_memory_allocated": PEAK_BYTES,
        "mem_get_info": (MEMORY_BYTES, MEMORY_BYTES),
        "get_device_name": "a stand-in",
    }
    given = {name: lambda *_, value=value: value for name, value in answers.items()}
    no_accelerator = patch.object(torch.accelerator, "current_accelerator", lambda **_: None)  # optimizers would ask it
    with patch.multiple(torch.cuda, **given), no_accelerator, _OnThisCpu():
        yield
