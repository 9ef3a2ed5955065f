"""The file system as a place."""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from tracin_dask.places.lock import hold
from tracin_dask.places.part import new_directory, sync, whole_file
from tracin_dask.places.target import is_stream, refuse_device


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlace:
    """A file or folder of the file system; any function that takes a path takes this, too."""

    path: Path

    @classmethod
    def of(cls, path: str) -> "LocalPlace":
        """Make a place from the text of a path."""
        return cls(path=Path(path))

    def __str__(self) -> str:
        """Return the path as text."""
        return str(self.path)

    def __fspath__(self) -> str:
        """Return the path as text, for `open` and its like."""
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def parent(self) -> "LocalPlace":
        """The folder that holds this place."""
        return LocalPlace(path=self.path.parent)

    def absolute(self) -> "LocalPlace":
        """Return the same place by its absolute path."""
        return LocalPlace(path=self.path.absolute())

    def __truediv__(self, name: str) -> "LocalPlace":
        """Return the place `name` in this folder."""
        return LocalPlace(path=self.path / name)

    def is_file(self) -> bool:
        """Tell whether a regular file lies here."""
        return self.path.is_file()

    def is_folder(self) -> bool:
        """Tell whether a folder lies here."""
        return self.path.is_dir()

    def num_bytes(self) -> int:
        """Return the size of the file, or of all files in the folder."""
        if self.path.is_dir():
            return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
        return self.path.stat().st_size

    def open(self) -> BufferedReader:
        """Open the file for reading."""
        return self.path.open("rb")

    def writer(self) -> AbstractContextManager[BinaryIO]:
        """Open the file for writing; it is renamed into place, synced, when the block ends without an error."""
        return whole_file(self.path)

    def make_folder(self) -> None:
        """Make this folder and its parents, where they are missing."""
        self.path.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def new_folder(self, *, overwrite: bool = False) -> Iterator["LocalPlace"]:
        """Give an empty folder to fill; raises as `new_directory`."""
        with new_directory(self.path, overwrite=overwrite) as part:
            yield LocalPlace(path=part)

    def lock(self, what: str) -> AbstractContextManager[None]:
        """Hold this file as a lock; raises as `hold`."""
        return hold(self.path, what, "choose another output")

    def find(self, pattern: str) -> list["LocalPlace"]:
        """List what lies in this folder under a shell pattern; hidden files match only `.*`."""
        found = glob.glob(pattern, root_dir=self.path, recursive=True)  # noqa: PTH207 - Path.glob matches hidden files
        return [self / name for name in found]

    def delete(self) -> None:
        """Delete the file, or the empty folder."""
        if self.path.is_dir():
            self.path.rmdir()
        else:
            self.path.unlink()

    def sync(self) -> None:
        """Return once the file, or all that lies in the folder, is safe on disk."""
        sync(self.path)

    def check_writable(self) -> None:
        """Raise the error that writing here would raise: a nameless file is made in the nearest folder."""
        if not self.path.is_dir():
            refuse_device(self.path)
        if not is_stream(self.path):
            with tempfile.TemporaryFile(dir=self._nearest_folder()):
                pass

    def free_bytes(self) -> int:
        """Return how many bytes the file system has left."""
        return shutil.disk_usage(self._nearest_folder()).free

    def zarr_store(self) -> Path:
        """Return the path: Zarr takes it."""
        return self.path

    def local_path(self) -> Path:
        """Return the path."""
        return self.path

    def _nearest_folder(self) -> Path:
        """Return this folder, or else the nearest folder above it that exists."""
        path = Path(os.path.realpath(self.path))
        return path if path.is_dir() else next(parent for parent in path.parents if parent.exists())
