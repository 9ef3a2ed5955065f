"""Zarr groups and their arrays: opened and read, with one error for whatever Zarr finds wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr

from tracin_dask.errors import StoreError, TracInDaskError
from tracin_dask.places.registry import place_of


def find_array(group: zarr.Group, *names: str) -> zarr.Array[Any] | None:
    """Return the first of these arrays that the group holds; None if it holds none."""
    found = (group.get(name) for name in names)
    return next((array for array in found if isinstance(array, zarr.Array)), None)


@contextmanager
def damage_explained(path: str, what: str, remedy: str) -> Iterator[None]:
    """Explain whatever Zarr raises for damaged metadata or data; a missing file stays what it is.

    Raises
    ------
    StoreError
        Naming the path, what is damaged, and what to do.
    """
    try:
        yield
    except (TracInDaskError, FileNotFoundError):
        raise
    except Exception as error:  # for damaged metadata Zarr raises errors of all kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise StoreError(f"{path}: {what} ({reason}); {remedy}") from error


def open_group(path: str, what: str, remedy: str) -> zarr.Group:
    """Open a group for reading.

    Raises
    ------
    FileNotFoundError
        If there is none.
    StoreError
        If it cannot be read.
    """
    with damage_explained(path, what, remedy):
        return zarr.open_group(place_of(path).zarr_store(), mode="r", zarr_format=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """The arrays of a group, each opened once; every method raises `StoreError` for one that is missing or damaged."""

    group: zarr.Group
    path: str
    remedy: str
    """What to do where one cannot be read."""
    _opened: dict[str, zarr.Array[Any]] = field(default_factory=dict, repr=False)

    def open(self, name: str) -> zarr.Array[Any]:
        """Find an array."""
        if name not in self._opened:
            with damage_explained(self.path, f"the array {name} is damaged", self.remedy):
                array = find_array(self.group, name)
            if array is None:
                raise StoreError(f"{self.path}: the array {name} is missing; {self.remedy}")
            self._opened[name] = array
        return self._opened[name]

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Read the rows start ≤ row < stop of an array."""
        array = self.open(name)
        with damage_explained(self.path, f"{name}[{start}:{stop}] is damaged", self.remedy):
            try:
                values = np.asarray(array[start:stop])
            except FileNotFoundError as error:
                raise StoreError(f"{self.path}: {name}[{start}:{stop}] is missing; {self.remedy}") from error
        if len(values) != stop - start:
            raise StoreError(f"{self.path}: {name} has no rows {start}:{stop}; {self.remedy}")
        return values
