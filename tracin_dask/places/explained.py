"""Explains errors of the file system: what could not be written or read, why, and what to do."""

import contextlib
import errno
from collections.abc import Callable, Iterator

from tracin_dask.errors import PlaceError, TracInDaskError
from tracin_dask.places.place import AnyPath

_WHY = {
    errno.ENOSPC: "the disk is full, or has no room for another file; make room",
    errno.EDQUOT: "your disk quota is used up; make room",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "no permission; choose another place or change the permissions",
    errno.EPERM: "the file system does not permit it; choose another place",
    errno.ENOENT: "its folder does not exist, or was deleted meanwhile; make the folder or choose another place",
    errno.ENOTDIR: "a part of its path is a file, not a folder; choose another place",
    errno.EISDIR: "a folder has this name; choose another name",
    errno.EEXIST: "a file of this name is in the way; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "its symbolic links form a circle; choose another place",
    errno.EIO: "the disk reports an error; choose another place",
    errno.EPIPE: "its reader has ended",
}
FULL = {errno.ENOSPC, errno.EDQUOT}


class WriteError(PlaceError, OSError):
    """A file or folder that cannot be written."""


def why(error: OSError) -> str:
    """Say in words why the file system refused, and what to do."""
    if error.errno in _WHY:
        return _WHY[error.errno]
    return error.strerror or str(error) or type(error).__name__


@contextlib.contextmanager
def writing(place: AnyPath, what: str, kept: Callable[[], str] = str) -> Iterator[None]:
    """Explain errors of writing a place; `what` names what is written, and `kept` says what is not lost.

    Raises
    ------
    WriteError
        In place of the file system's error.
    """
    try:
        yield
    except TracInDaskError:
        raise
    except OSError as error:
        message = f"{place}: {what} cannot be written: {why(error)}"
        raise WriteError("; ".join(filter(None, [message, kept()]))) from error
