"""Errors of files while they are ingested: what could not be read or written, and what is needed."""

import contextlib
from collections.abc import Iterator

from tracin_dask.errors import StoreError, TracInDaskError, TriplesError
from tracin_dask.places.explained import FULL, why
from tracin_dask.places.files import sha256_of
from tracin_dask.places.place import AnyPath, Place


@contextlib.contextmanager
def disk_explained(train: Place, output: Place) -> Iterator[None]:
    """Explain errors of an output path; for a full disk, with the free bytes and the bytes of store and sort.

    Raises
    ------
    StoreError
        In place of the file system's error.
    """
    free_bytes: int | None = None
    try:
        free_bytes = output.free_bytes()
        yield
    except TracInDaskError:
        raise
    except OSError as error:
        if error.errno not in FULL:
            raise StoreError(f"{output}: cannot be written: {why(error)}") from error
        found = "" if free_bytes is None else f"{free_bytes:,} bytes were free, "
        needed_bytes = 2 * train.num_bytes()
        raise StoreError(
            f"{output}: the disk is full: {found}up to {needed_bytes:,} are needed; "
            "no store was left behind; make room or choose another output"
        ) from error


def file_sha256(path: AnyPath | None) -> str | None:
    """Hash the content of a file, if one is given.

    Raises
    ------
    TriplesError
        If it cannot be read.
    """
    if path is None:
        return None
    try:
        return sha256_of(path)
    except OSError as error:
        raise TriplesError(f"{path}: cannot be read: {error.strerror}; check the path") from error
