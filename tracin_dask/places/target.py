"""What lies at a path that is to be written: a regular file, a pipe or standard output, or what must stay as it is."""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tracin_dask.places.explained import WriteError

_DESCRIPTORS = re.compile(r"/proc/(self|\d+)(/task/\d+)?/fd|/dev/fd")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk"),
    (stat.S_ISSOCK, "a socket"),
)


def is_stream(path: Path) -> bool:
    """Tell whether a path is a pipe, or a file that a process has open, such as `/dev/stdout`."""
    return _is_descriptor(path) or (path.exists() and path.is_fifo())


def is_standard_output(path: Path) -> bool:
    """Tell whether a path is what this process prints to."""
    try:
        return is_stream(path) and os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def refuse_device(path: Path) -> None:
    """Refuse what must not be replaced by a file: only pipes and open files are written to.

    Raises
    ------
    WriteError
        If it is a folder, a device, a disk or a socket.
    """
    if not path.exists() or is_stream(path):
        return
    mode = path.stat().st_mode
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise WriteError(f"{path} is {kind}, not a file; choose another name")


@contextlib.contextmanager
def stream(path: Path) -> Iterator[BinaryIO]:
    """Collect what is written, and write it to a pipe or an open file when the block ends without an error."""
    with tempfile.TemporaryFile() as collected:
        yield collected
        collected.seek(0)
        with path.open("wb") as file:
            shutil.copyfileobj(collected, file)


def _is_descriptor(path: Path) -> bool:
    """Tell whether the path is a descriptor of a process, directly or by symbolic links."""
    for _ in range(40):
        if _DESCRIPTORS.fullmatch(os.path.realpath(path.parent)) and path.exists():
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False
