"""What a place can do: the protocol that file systems and object stores implement."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias, runtime_checkable

from tracin_dask.errors import StoreError

if TYPE_CHECKING:
    from zarr.storage import StoreLike


class BusyError(StoreError):
    """Another process is writing the same file or folder."""


class StoreExistsError(StoreError):
    """The folder exists already and must not be overwritten."""


@runtime_checkable
class Place(Protocol):
    """Where bytes lie: one file or folder, which may not exist yet.

    `str(place)` is the path or URL that `place_of` takes. Methods raise `OSError` with an errno, as the file system
    does: `FileNotFoundError` for a missing file, `PermissionError` for one that cannot be written.
    """

    @property
    def name(self) -> str:
        """The last part of the path."""
        ...

    @property
    def parent(self) -> "Place":
        """The folder that holds this place."""
        ...

    def absolute(self) -> "Place":
        """Return the same place by a path that holds in every working directory."""
        ...

    def __truediv__(self, name: str) -> "Place":
        """Return the place `name` in this folder."""
        ...

    def is_file(self) -> bool:
        """Tell whether a file lies here."""
        ...

    def is_folder(self) -> bool:
        """Tell whether a folder lies here; in an object store, any object below this path makes it one."""
        ...

    def num_bytes(self) -> int:
        """Return the size of the file, or of all files in the folder."""
        ...

    def open(self) -> BufferedReader:
        """Open the file for reading."""
        ...

    def writer(self) -> AbstractContextManager[BinaryIO]:
        """Open the file for writing; it appears whole, and is safe on disk, when the block ends without an error.

        Readers see the old file or the new one, never a piece.
        """
        ...

    def make_folder(self) -> None:
        """Make this folder and its parents, where they are missing and where folders exist at all."""
        ...

    def new_folder(self, *, overwrite: bool = False) -> "AbstractContextManager[Place]":
        """Give an empty folder to fill; it takes this place when the block ends without an error.

        Raises
        ------
        BusyError
            If another process is filling the same folder.
        StoreExistsError
            If this place exists and `overwrite` is not set.
        """
        ...

    def lock(self, what: str) -> AbstractContextManager[None]:
        """Hold this file as a lock on `what` until the block ends, and delete it then.

        Raises
        ------
        BusyError
            If it is held already; the message names the process.
        """
        ...

    def find(self, pattern: str) -> "Sequence[Place]":
        """List what lies in this folder under a shell pattern, e.g. `*.pt`; hidden files match only `.*`."""
        ...

    def delete(self) -> None:
        """Delete the file, or the empty folder."""
        ...

    def sync(self) -> None:
        """Return once everything that was written here, or below, is safe on disk."""
        ...

    def check_writable(self) -> None:
        """Raise the error that writing this file, or into this folder, would raise; leave nothing behind."""
        ...

    def free_bytes(self) -> int | None:
        """Return how much more fits here; None where nobody knows."""
        ...

    def zarr_store(self) -> "StoreLike":
        """Return what Zarr reads and writes this folder through."""
        ...

    def local_path(self) -> Path | None:
        """Return the path in the file system, for memory maps; None if the bytes lie elsewhere."""
        ...


AnyPath: TypeAlias = str | Path | Place
"""What `place_of` takes: a path of the file system, a URL, or a place itself."""
