"""What a worker writes of the array of all influences: whole chunks, a batch of training triples at a time."""

import contextlib
import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import zarr

from tracin_dask.errors import ScoresError
from tracin_dask.influence.reductions.base import Arrays, Held, Needs, ScoredBatch, Sizes, Start
from tracin_dask.places.place import Place
from tracin_dask.triples.arrays import find_array

NAME = "save_scores"
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
        array = find_array(group, INFLUENCE, SELF_INFLUENCE)
        assert array is not None  # noqa: S101 - made with the attributes
        return array


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedScores:
    """Writes all influences; what is kept of them lies on disk, and the outcome is empty."""

    place: ScoresPlace

    @property
    def name(self) -> str:
        """The name of the outcome."""
        return NAME

    @property
    def identity(self) -> str:
        """Where the scores of finished rows lie."""
        return str(self.place.path)

    @property
    def needs(self) -> Needs:
        """A place that every worker can write to."""
        return Needs(why_unusable=partial(_why_not_saved, self.place))

    def held(self, sizes: Sizes) -> Held:
        """Count what writing takes: it grows with a batch, not with the rows of a task."""
        taken = COPIES * ITEM_BYTES * sizes.batch_size * sizes.num_columns
        return Held(stream=taken, what="writing scores", remedy="a smaller --batch-size")

    def start(self, given: Start[None]) -> "ScoreWriter":
        """Open the array; raises as `ScoresPlace.open`."""
        return ScoreWriter(self.place, given.num_columns)

    def merge(self, _: Sequence[None]) -> None:
        """Merge nothing."""

    def pack(self, _: None) -> Arrays:
        """Give nothing."""
        return {}

    def unpack(self, _: Arrays) -> None:
        """Find nothing."""


class ScoreWriter:
    """Writes the influences of one task, batch by batch."""

    def __init__(self, place: ScoresPlace, num_columns: int) -> None:
        """Open the array, whose chunks are the batches; raises as `ScoresPlace.open`."""
        self._path, self._array = place.path, place.open()
        self._batch = np.empty((self._array.chunks[-1], num_columns), np.float32)
        self._added = 0
        self._written: list[int] = []

    def add(self, batch: ScoredBatch) -> None:
        """Take in a batch, or a part of one, and write the batch once it is whole.

        Raises
        ------
        ScoresError
            If that cannot be written.
        """
        size = len(self._batch)
        number = int(batch.rows[0]) // size
        start = number * size
        stop = min(start + size, self._array.shape[-1])
        self._batch[batch.rows - start] = batch.influences.cpu().numpy()
        self._added += len(batch)
        if self._added == stop - start:
            self._write(start, stop)
            self._written.append(number)
            self._added = 0

    def finish(self) -> None:
        """Return once all that was written is on disk: only then may the rows be recorded as finished.

        Raises
        ------
        ScoresError
            If the disk has not taken it.
        """
        assert self._added == 0, "a batch is not whole"  # noqa: S101 - tasks have whole batches
        with explained(self._path):
            for chunk in self._written:
                for file in self._files(chunk):
                    file.sync()

    def _write(self, start: int, stop: int) -> None:
        columns = self._batch[: stop - start].T
        with explained(self._path):
            self._array[..., start:stop] = columns if self._array.ndim == 2 else columns[0]

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


def _why_not_saved(place: ScoresPlace) -> str | None:
    reason = why_out_of_reach(place)
    return None if reason is None else f"cannot save scores: {reason}"
