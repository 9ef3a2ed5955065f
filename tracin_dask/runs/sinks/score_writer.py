"""Writes all influences from a worker: whole chunks, one batch of training triples at a time."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import zarr

from tracin_dask.errors import ScoresError, StoreError, TracInDaskError
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.reductions.base import Arrays, Held, Needs, ScoredBatch, Sizes, Start
from tracin_dask.places.explained import FULL, why
from tracin_dask.places.place import Place
from tracin_dask.triples.arrays import damage_explained, find_array

NAME = "save_scores"
INFLUENCE, SELF_INFLUENCE = "influence", "self_influence"
ITEM_BYTES = 4
"""Influences are saved as float32."""
COPIES = 5
"""Copies of the influences of a batch during writing, as measured: gathered, cut into chunks, compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresAddress:
    """The address of the scores of a run."""

    path: Place
    identity: str
    """Identity of the run; workers compare it, because another machine may have other data at the same path."""

    def open(self) -> zarr.Array[Any]:
        """Open the array for writing.

        Raises
        ------
        ScoresError
            If this process sees no array at the path, or another run's.
        """
        try:
            with damage_explained(str(self.path), "damaged scores", "pass --restart to compute them again"):
                group = zarr.open_group(self.path.zarr_store(), mode="r+", zarr_format=3)
                array = find_array(group, INFLUENCE, SELF_INFLUENCE)
        except (OSError, StoreError) as error:
            raise ScoresError(
                f"{self.path}: a worker does not see the scores; choose a place for --save-scores that all "
                "workers share"
            ) from error
        if group.attrs.get("identity") != self.identity:
            raise ScoresError(
                f"{self.path}: a worker sees the scores of another run; choose a place for --save-scores that all "
                "workers share"
            )
        assert array is not None  # noqa: S101 - made with the attributes
        return array


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedScores:
    """Writes all influences to disk; the outcome itself is empty."""

    address: ScoresAddress

    @property
    def name(self) -> str:
        """The name of the outcome."""
        return NAME

    @property
    def identity(self) -> str:
        """The path of the scores of finished rows."""
        return str(self.address.path)

    @property
    def needs(self) -> Needs:
        """A place that every worker can write to."""
        return Needs(why_unusable=partial(_why_not_saved, self.address))

    def held(self, sizes: Sizes) -> Held:
        """Count the bytes that writing takes; they grow with the batch, not with the rows of a task."""
        taken = COPIES * ITEM_BYTES * sizes.batch_size * sizes.num_columns
        return Held(stream=taken, what="writing scores", remedy="a smaller --batch-size")

    def start(self, given: Start[None]) -> "ScoreWriter":
        """Open the array; raises as `ScoresAddress.open`."""
        return ScoreWriter(self.address, given.num_columns)

    def merge(self, _: Sequence[None]) -> None:
        """Merge nothing."""

    def pack(self, _: None) -> Arrays:
        """Give nothing."""
        return {}

    def unpack(self, _: Arrays) -> None:
        """Find nothing."""


class ScoreWriter:
    """Writes the influences of one task, batch by batch."""

    def __init__(self, address: ScoresAddress, num_columns: int) -> None:
        """Open the array, whose chunks are the batches; raises as `ScoresAddress.open`."""
        self._path, self._array = address.path, address.open()
        self._batch = np.empty((self._array.chunks[-1], num_columns), np.float32)
        self._added = 0
        self._written: list[int] = []

    def add(self, batch: ScoredBatch) -> None:
        """Collect a batch or a part of one, and write the batch when it is whole.

        Raises
        ------
        ScoresError
            If the batch cannot be written.
        NonFiniteError
            If an influence is NaN or infinite: the run itself checks the batches of a GPU only after they are written.
        """
        refuse_non_finite(batch.triples, batch.influences, what="training", summary=batch.highest - batch.lowest)
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
        """Return when all written chunks are on disk; only then are the rows recorded as finished.

        Raises
        ------
        ScoresError
            If a chunk cannot be synced.
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
        """Return the files of the chunks of a batch; each has some of the test triples."""
        folder = self._path / self._array.basename / "c"
        if self._array.ndim == 1:
            return [folder / str(chunk)]
        num_parts = -(-self._array.shape[0] // self._array.chunks[0])
        return [folder / str(part) / str(chunk) for part in range(num_parts)]


@contextlib.contextmanager
def explained(path: Place) -> Iterator[None]:
    """Explain errors of writing scores, and say what to do.

    Raises
    ------
    ScoresError
        In place of the file system's error.
    """
    try:
        yield
    except TracInDaskError:
        raise
    except OSError as error:
        reason = f"cannot be written: {why(error)} (--save-scores); finished rows are kept"
        if error.errno in FULL:
            reason = f"are not complete: {why(error)} and start the same run again to continue"
        raise ScoresError(f"{path}: the scores {reason}") from error


def why_out_of_reach(address: ScoresAddress) -> str | None:
    """Explain why this process cannot write to the array; None if it can."""
    try:
        address.open()
        with explained(address.path):
            address.path.check_writable()
    except ScoresError as error:
        return str(error)
    return None


def _why_not_saved(address: ScoresAddress) -> str | None:
    reason = why_out_of_reach(address)
    return None if reason is None else f"cannot save scores: {reason}"
