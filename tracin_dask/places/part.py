"""Files and directories that appear whole or not at all: written as `<name>.part`, synced, then renamed."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tracin_dask.places.place import BusyError, StoreExistsError

PART_SUFFIX = ".part"
_LOCK = ".writer"


def part_of(path: Path) -> Path:
    """Name what is written until it is complete."""
    return path.with_name(f"{path.name}{PART_SUFFIX}")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing so that readers see the old one or the new one, never a piece.

    The bytes are on disk before the file gets its name; an error removes what was written.
    """
    part = part_of(path)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty directory `<path>.part` to fill; it becomes `path` when the block ends without error.

    What an interrupted process left there is removed first; an error removes what was written.

    Raises
    ------
    BusyError
        If another process is filling the same directory.
    StoreExistsError
        If `path` exists and is not to be overwritten.
    """
    part = part_of(path)
    with _locked(part):
        try:
            _refuse_existing(path, overwrite=overwrite)
            _clear(part)
            yield part
            sync(part)
            _take_place(part, path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    (path / _LOCK).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Make the directory and lock it; the lock file lies inside, so it moves with the directory."""
    busy = BusyError(f"{part}: another process is writing here; wait for it or choose another output")
    part.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context((part / _LOCK).open("wb"))
            _lock(lock)
            moved = not os.path.samestat((part / _LOCK).stat(), os.fstat(lock.fileno()))
        except (BlockingIOError, FileNotFoundError):
            raise busy from None
        if moved:
            raise busy
        yield


def _lock(file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # some network file systems have no locks: two writers at once can not be noticed there
        if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise


def _refuse_existing(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise StoreExistsError(f"{path}: exists already; choose another output or pass --overwrite (overwrite=True)")


def _clear(part: Path) -> None:
    for entry in part.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()


def sync(path: Path) -> None:
    """Return once a file, or all that lies in a directory, is on disk."""
    for file in path.rglob("*") if path.is_dir() else (path,):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_place(part: Path, path: Path) -> None:
    """Rename; a directory can not replace a full one, so an older one steps aside first."""
    old = path.with_name(f"{path.name}.old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    part.rename(path)
    shutil.rmtree(old, ignore_errors=True)
