"""Sorted runs of rows in files, and any range of their common order, which is read without the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import StoreError
from tracin_dask.places.place import Place

SAMPLE_ROWS = 1024
"""Of so many rows of a run, one key is a sample."""
_INDEX_TYPE = np.dtype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRows:
    """Keys of triples, as `KeyLayout` packs them, and the train_index of each."""

    keys: ndarray
    train_index: Int64[ndarray, " row"]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.keys)

    def __getitem__(self, rows: slice) -> "KeyedRows":
        """Take a range of rows, as views."""
        return KeyedRows(keys=self.keys[rows], train_index=self.train_index[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Sorted rows in a file: first all keys, then all train_index; equal keys are in the order of the text."""

    place: Place
    num_rows: int
    samples: ndarray
    """Every so many-th key, from the first one on."""


def sort_rows(parts: list[KeyedRows]) -> KeyedRows:
    """Join rows and sort them stably; empty the list, so that memory does not hold both parts and result."""
    keys = np.concatenate([part.keys for part in parts])
    train_index = np.concatenate([part.train_index for part in parts])
    parts.clear()
    order = np.argsort(keys, kind="stable")
    return KeyedRows(keys=keys[order], train_index=train_index[order])


def write_run(place: Place, rows: KeyedRows, sample_rows: int = SAMPLE_ROWS) -> Run:
    """Write sorted rows to a file."""
    with place.writer() as file:
        for values in (rows.keys, rows.train_index):
            file.write(values.view(np.uint8).data)
    return Run(place=place, num_rows=len(rows), samples=rows.keys[::sample_rows].copy())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SortedRuns:
    """Runs of parts of a text, in its order, as one sorted sequence: by key, and then in the order of the text.

    A range of rows is found by the samples alone. Let the samples of all runs be sorted in the same way, and c of the
    first i be of one run, whose samples are s rows apart. Then the first (c - 1) s rows of that run stand before the
    next sample, and those from c s on do not. So no more than i s rows of all runs stand before it, and at least
    (i - r) s, for r runs.
    """

    places: tuple[Place, ...]
    num_rows: Int64[ndarray, " run"]
    first_line: Int64[ndarray, " run"]
    """What is added to the train_index of each run."""
    run_of_sample: Int64[ndarray, " sample"]
    key_type: np.dtype[np.generic]
    sample_rows: int

    @classmethod
    def of(
        cls, runs: Sequence[Run], sample_rows: int = SAMPLE_ROWS, first_line: Sequence[int] | None = None
    ) -> "SortedRuns":
        """Join at least one run."""
        samples = np.concatenate([run.samples for run in runs])
        run = np.repeat(np.arange(len(runs)), [len(run.samples) for run in runs])
        return cls(
            places=tuple(run.place for run in runs),
            num_rows=np.array([run.num_rows for run in runs]),
            first_line=np.array(first_line if first_line is not None else [0] * len(runs)),
            run_of_sample=run[np.argsort(samples, kind="stable")],
            key_type=samples.dtype,
            sample_rows=sample_rows,
        )

    def __len__(self) -> int:
        """Count the rows of all runs."""
        return int(self.num_rows.sum())

    @property
    def further_rows(self) -> int:
        """Bound the rows that `read` holds beyond those that are asked for."""
        return (2 * len(self.places) + 2) * self.sample_rows

    def read(self, start: int, stop: int) -> KeyedRows:
        """Read the rows start ≤ row < stop of the common order.

        Raises
        ------
        StoreError
            If the file of a run is not whole.
        """
        starts, stops = self._bounds(start, stop)
        bounds = zip(starts.tolist(), stops.tolist(), strict=True)
        parts = [self._read(run, first, last) for run, (first, last) in enumerate(bounds) if first < last]
        before = int(starts.sum())
        return sort_rows(parts)[start - before : stop - before]

    def _bounds(self, start: int, stop: int) -> tuple[Int64[ndarray, " run"], Int64[ndarray, " run"]]:
        """Find rows of each run among which are all that stand at these places: all before them stand before."""
        number = len(self.places)
        before = np.bincount(self.run_of_sample[: start // self.sample_rows], minlength=number)
        until = np.bincount(self.run_of_sample[: -(-stop // self.sample_rows) + number], minlength=number)
        return np.maximum(before - 1, 0) * self.sample_rows, np.minimum(until * self.sample_rows, self.num_rows)

    def _read(self, run: int, start: int, stop: int) -> KeyedRows:
        place, key_bytes = self.places[run], self.key_type.itemsize
        with place.open() as file:
            keys = _numbers(file, place, self.key_type, start * key_bytes, stop - start)
            index_at = int(self.num_rows[run]) * key_bytes + start * _INDEX_TYPE.itemsize
            train_index = _numbers(file, place, _INDEX_TYPE, index_at, stop - start)
        return KeyedRows(keys=keys, train_index=train_index + self.first_line[run])


def _numbers(file: BufferedReader, place: Place, kind: np.dtype[np.generic], offset: int, count: int) -> ndarray:
    file.seek(offset)
    data = file.read(count * kind.itemsize)
    if len(data) != count * kind.itemsize:
        raise StoreError(f"{place}: sorted rows are missing; was the folder changed? Ingest the text file again")
    return np.frombuffer(data, kind)
