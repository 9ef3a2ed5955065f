"""Zarr groups and their arrays: opened and read, with one error for whatever Zarr finds wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
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


def open_array(group: zarr.Group, name: str, path: str, remedy: str) -> zarr.Array[Any]:
    """Find an array; raises `StoreError` if it is missing or damaged."""
    with damage_explained(path, f"the array {name} is damaged", remedy):
        array = find_array(group, name)
    if array is None:
        raise StoreError(f"{path}: the array {name} is missing; {remedy}")
    return array


def read_array(group: zarr.Group, name: str, rows: tuple[int, int], path: str, remedy: str) -> np.ndarray:
    """Read some rows of an array; raises `StoreError` if they are missing or damaged."""
    start, stop = rows
    array = open_array(group, name, path, remedy)
    with damage_explained(path, f"{name}[{start}:{stop}] is damaged", remedy):
        try:
            values = np.asarray(array[start:stop])
        except FileNotFoundError as error:
            raise StoreError(f"{path}: {name}[{start}:{stop}] is missing; {remedy}") from error
    if len(values) != stop - start:
        raise StoreError(f"{path}: {name} has no rows {start}:{stop}; {remedy}")
    return values


def read_texts(group: zarr.Group, name: str, count: int, path: str, remedy: str) -> pa.StringArray:
    """Read an array of texts; raises as `read_array`."""
    values = read_array(group, name, (0, count), path, remedy)
    with damage_explained(path, f"{name} is damaged", remedy):
        return pa.array(values.tolist(), pa.string())  # twice as fast as from an array of objects
