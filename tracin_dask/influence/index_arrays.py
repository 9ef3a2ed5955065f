"""The index arrays of a batch in one buffer: made by the thread that reads ahead, and moved to a device in one copy."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from torch import Tensor


class IndexArrays:
    """The index arrays of one batch, all int64, one after the other in one buffer.

    Any thread may put arrays in and pack them; it never touches the device. The first array that is used there brings
    all of them, in one copy. To a GPU it goes from pinned memory, and the host does not wait for it.
    """

    def __init__(self, device: torch.device) -> None:
        """Start without arrays."""
        self._device = device
        self._arrays: list[IndexArray] = []
        self._buffer: Tensor | None = None
        self._on_device: list[Tensor] = []

    def put(self, values: ndarray) -> "IndexArray":
        """Add an array of whole numbers, of any shape."""
        assert self._buffer is None  # noqa: S101 - what was packed is on its way
        array = IndexArray(host=np.asarray(values, dtype=np.int64), _of=self, _number=len(self._arrays))
        self._arrays.append(array)
        return array

    def pack(self) -> None:
        """Put all arrays into the buffer, which they become views of; nothing can be added then."""
        parts = [array.host.reshape(-1) for array in self._arrays]
        buffer = torch.empty(sum(map(len, parts)), dtype=torch.int64)
        numbers, start = buffer.numpy(), 0
        for array, part in zip(self._arrays, parts, strict=True):
            place = numbers[start : start + len(part)]
            place[:] = part
            array.host = place.reshape(array.host.shape)
            start += len(part)
        self._buffer = buffer.pin_memory() if self._device.type == "cuda" else buffer

    def on_device(self, number: int) -> Tensor:
        """Give the array of a number as a view of the buffer on the device; the first one moves the buffer."""
        if not self._on_device:
            if self._buffer is None:
                self.pack()
            assert self._buffer is not None  # noqa: S101 - packed above
            moved = self._buffer.to(self._device, non_blocking=True)
            shapes = [array.host.shape for array in self._arrays]
            parts = torch.split(moved, [array.host.size for array in self._arrays])
            self._on_device = [
                part if len(shape) == 1 else part.view(shape) for part, shape in zip(parts, shapes, strict=True)
            ]
        return self._on_device[number]


@dataclass(slots=True, eq=False, kw_only=True)
class IndexArray:
    """One index array of a batch."""

    host: Int64[ndarray, "*shape"]
    """The numbers on the host."""
    _of: IndexArrays = field(repr=False)
    _number: int

    @property
    def tensor(self) -> Int64[Tensor, "*shape"]:
        """The numbers on the device: a view of the batch's buffer."""
        return self._of.on_device(self._number)

    def __len__(self) -> int:
        """Count the entries of the first axis."""
        return len(self.host)
