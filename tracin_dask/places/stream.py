"""Inputs that can be read only once, pipes and standard input, as places that can be read again."""

import errno
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import IO, BinaryIO, NoReturn

from tracin_dask.errors import PlaceError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of

STDIN = "-"
_COPIED_BYTES = 1 << 20


def input_place(path: AnyPath) -> Place:
    """Give the place of an input: as `place_of`, but `-` is standard input, and pipes can be read more than once."""
    if isinstance(path, str | Path) and str(path) == STDIN:
        return Stream(path=STDIN)
    place = place_of(path)
    local = place.local_path()
    if local is None or place.is_file() or place.is_folder() or not local.exists():
        return place  # the reader reports a missing file
    return Stream(path=str(local))


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached_property keeps the copy
class Stream:
    """A pipe or standard input; `path` is `-` for the latter.

    The bytes are copied at first use, to the end, into a nameless temporary file, which is gone with this object.
    """

    path: str

    def __str__(self) -> str:
        """Return the path, or say that this is standard input."""
        return "standard input" if self.path == STDIN else self.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return "stdin" if self.path == STDIN else Path(self.path).name

    @property
    def parent(self) -> Place:
        """The folder of temporary files."""
        return place_of(tempfile.gettempdir())

    def absolute(self) -> "Stream":
        """Return this stream."""
        return self

    def __truediv__(self, name: str) -> Place:
        """Refuse: nothing lies in a stream."""
        self._refuse(errno.ENOTDIR)

    def is_file(self) -> bool:
        """Return True: it is read as a file."""
        return True

    def is_folder(self) -> bool:
        """Return False."""
        return False

    def identity(self) -> tuple[int, int] | None:
        """Return device and inode of the pipe, which tell two streams apart; None where there are none."""
        try:
            found = Path(self.path).stat() if self.path != STDIN else os.fstat(sys.stdin.fileno())
        except (OSError, ValueError, AttributeError):
            return None  # standard input is closed, or an object in memory
        return found.st_dev, found.st_ino

    def num_bytes(self) -> int:
        """Return how many bytes came."""
        return os.fstat(self._copy.fileno()).st_size

    def open(self) -> BufferedReader:
        """Open the bytes from the first one on."""
        return Path(f"/proc/self/fd/{self._copy.fileno()}").open("rb")

    def local_path(self) -> None:
        """Return None: the copy has no name."""

    def free_bytes(self) -> int:
        """Return how much more fits into the folder of temporary files."""
        return shutil.disk_usage(tempfile.gettempdir()).free

    def writer(self) -> AbstractContextManager[BinaryIO]:
        """Refuse: this is an input."""
        self._refuse(errno.EBADF)

    def make_folder(self) -> None:
        """Refuse: this is an input."""
        self._refuse(errno.ENOTDIR)

    def new_folder(self, *, overwrite: bool = False) -> AbstractContextManager[Place]:  # noqa: ARG002 - the signature of a place
        """Refuse: this is an input."""
        self._refuse(errno.ENOTDIR)

    def find(self, pattern: str) -> Sequence[Place]:  # noqa: ARG002 - the signature of a place
        """Return nothing: this is no folder."""
        return []

    def delete(self) -> None:
        """Refuse: this is an input."""
        self._refuse(errno.EBADF)

    def sync(self) -> None:
        """Refuse: this is an input."""
        self._refuse(errno.EBADF)

    def check_writable(self) -> None:
        """Refuse: this is an input."""
        self._refuse(errno.EBADF)

    def lock(self, what: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the signature of a place
        """Refuse: this is an input."""
        self._refuse(errno.EBADF)

    def zarr_store(self) -> NoReturn:
        """Refuse: this is no folder."""
        self._refuse(errno.ENOTDIR)

    def _refuse(self, code: int) -> NoReturn:
        raise OSError(code, os.strerror(code), str(self))

    @cached_property
    def _copy(self) -> IO[bytes]:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        weakref.finalize(self, copy.close)
        try:
            with self._source() as source:
                shutil.copyfileobj(source, copy, _COPIED_BYTES)
            copy.flush()
        except OSError as error:
            raise PlaceError(
                f"{self}: cannot be copied to a temporary file in {tempfile.gettempdir()}: {error.strerror}; make room "
                "there, or choose another folder with the environment variable TMPDIR"
            ) from error
        return copy

    def _source(self) -> AbstractContextManager[BinaryIO]:
        """Open the stream itself.

        Raises
        ------
        PlaceError
            If it is a device, which may have no end, or a socket, which cannot be opened.
        """
        if self.path == STDIN:
            if sys.stdin is None:
                raise PlaceError("standard input is closed; name a file")
            return nullcontext(sys.stdin.buffer)
        path = Path(self.path)
        if not path.is_fifo():
            raise PlaceError(f"{self}: a device or a socket; expected a file, a pipe or `-` for standard input")
        return path.open("rb")
