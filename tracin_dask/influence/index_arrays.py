"""The index arrays of a batch in one buffer: made by the thread that reads ahead, and moved to a device in one copy."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Int64
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
        self._shapes: list[tuple[int, ...]] = []
        self._buffer: Tensor | None = None
        self._on_device: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        """Where the arrays are used."""
        return self._device

    def put(self, values: ndarray) -> "IndexArray":
        """Add an array of whole numbers, of any shape."""
        assert self._buffer is None  # noqa: S101 - what was packed is on its way
        array = IndexArray(host=np.asarray(values, dtype=np.int64), _of=self, _number=len(self._arrays))
        self._arrays.append(array)
        return array

    def put_flags(self, values: Bool[ndarray, "*shape"]) -> "Flags":
        """Add an array of truth values, eight of which take the place of a number."""
        padded = np.zeros(-(-values.size // 8) * 8, dtype=bool)
        padded[: values.size] = values.reshape(-1)
        return Flags(numbers=self.put(padded.view(np.int64)), shape=values.shape)

    def pack(self) -> None:
        """Put all arrays into the buffer, which they become views of; nothing can be added then."""
        buffer = torch.empty(sum(array.host.size for array in self._arrays), dtype=torch.int64)
        numbers, start = buffer.numpy(), 0
        for array in self._arrays:
            place = numbers[start : start + array.host.size]
            place[:] = array.host.reshape(-1)
            array.host = place.reshape(array.host.shape)
            self._shapes.append(array.host.shape)
            start += array.host.size
        self._buffer = buffer.pin_memory() if self._device.type == "cuda" else buffer
        self._arrays = []  # arrays hold this object: without a circle, all of it is freed with the last of them

    def on_device(self, number: int) -> Tensor:
        """Give the array of a number as a view of the buffer on the device; the first one moves the buffer."""
        if not self._on_device:
            if self._buffer is None:
                self.pack()
            assert self._buffer is not None  # noqa: S101 - packed above
            moved = self._buffer.to(self._device, non_blocking=True)
            parts = torch.split(moved, [math.prod(shape) for shape in self._shapes])
            self._on_device = [
                part if len(shape) == 1 else part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Truth values of a batch, among its index arrays."""

    numbers: IndexArray
    """Eight values each."""
    shape: tuple[int, ...]

    @property
    def tensor(self) -> Bool[Tensor, "*shape"]:
        """The values on the device: a view of the batch's buffer."""
        return self.numbers.tensor.view(torch.bool)[: math.prod(self.shape)].view(self.shape)
