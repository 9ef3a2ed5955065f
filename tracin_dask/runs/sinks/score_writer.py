"""What a worker writes of the array of all influences: whole chunks, a batch of training triples at a time."""

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import ScoresError
from tracin_dask.places.place import Place

INFLUENCE, SELF_INFLUENCE = "influence", "self_influence"
ITEM_BYTES = 4
"""Influences are saved as float32."""
COPIES = 5
"""Of a batch's influences while they are written, by measuring: gathered, cut into chunks, compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresPlace:
    """Where a run's scores go."""

    path: Place
    identity: str
    """Of the run: workers compare it, since another machine may have other data at the same path."""

    def open(self) -> zarr.Array[Any]:
        """Open the array for writing.

        Raises
        ------
        ScoresError
            If this process sees no array at the path, or another run's.
        """
        try:
            group = zarr.open_group(self.path.zarr_store(), mode="r+", zarr_format=3)
        except (OSError, ValueError) as error:
            raise ScoresError(
                f"{self.path}: a worker does not see the scores there; choose a place for --save-scores that all "
                "workers share"
            ) from error
        if group.attrs.get("identity") != self.identity:
            raise ScoresError(
                f"{self.path}: a worker sees the scores of another run there; choose a place for --save-scores that "
                "all workers share"
            )
        array = group.get(INFLUENCE) or group.get(SELF_INFLUENCE)
        assert isinstance(array, zarr.Array)  # noqa: S101 - made with the attributes
        return array


class ScoreWriter:
    """Writes the influences of one task, batch by batch."""

    def __init__(self, place: ScoresPlace, batch_size: int, num_columns: int) -> None:
        """Open the array; raises as `ScoresPlace.open`."""
        self._path, self._array, self._batch_size = place.path, place.open(), batch_size
        self._batch = np.empty((batch_size, num_columns), np.float32)
        self._written: list[int] = []

    def add(self, rows: Int[ndarray, " row"], influences: Float[Tensor, "row test"]) -> None:
        """Take in the influences of some rows of a batch."""
        self._batch[rows] = influences.cpu().numpy()

    def write(self, start: int, num_rows: int) -> None:
        """Write the batch that begins at a row of the store, once all its rows were added.

        Raises
        ------
        ScoresError
            If that cannot be written.
        """
        assert start % self._batch_size == 0, "not on the grid of batches"  # noqa: S101 - tasks begin on it
        columns = self._batch[:num_rows].T
        with explained(self._path):
            self._array[..., start : start + num_rows] = columns if self._array.ndim == 2 else columns[0]
        self._written.append(start // self._batch_size)

    def sync(self) -> None:
        """Return once all that was written is on disk: only then may the rows be recorded as finished.

        Raises
        ------
        ScoresError
            If the disk has not taken it.
        """
        with explained(self._path):
            for chunk in self._written:
                for file in self._files(chunk):
                    file.sync()

    def _files(self, chunk: int) -> list[Place]:
        """Name the files of a batch's chunks, one for some test triples each."""
        folder = self._path / self._array.basename / "c"
        if self._array.ndim == 1:
            return [folder / str(chunk)]
        num_parts = -(-self._array.shape[0] // self._array.chunks[0])
        return [folder / str(part) / str(chunk) for part in range(num_parts)]


@contextlib.contextmanager
def explained(path: Place) -> Iterator[None]:
    """Say what keeps scores from being written, and what to do.

    Raises
    ------
    ScoresError
        In place of the file system's error.
    """
    try:
        yield
    except ScoresError:
        raise
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}; choose another place (--save-scores)"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            reason = "are not complete, and the disk is full; make room and start the same run again to go on with it"
        raise ScoresError(f"{path}: the scores {reason}") from error


def why_out_of_reach(place: ScoresPlace) -> str | None:
    """Say why this process cannot write to the array; None if it can."""
    try:
        place.open()
        with explained(place.path):
            place.path.check_writable()
    except ScoresError as error:
        return str(error)
    return None


def writer_bytes(batch_size: int, num_columns: int) -> int:
    """Count the bytes that writing takes: it grows with a batch, not with the rows of a task."""
    return COPIES * ITEM_BYTES * batch_size * num_columns
