"""Files and directories that appear whole or not at all: written as `<name>.part`, synced, then renamed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tracin_dask.places.lock import hold, locked_file
from tracin_dask.places.place import BusyError, Place, StoreExistsError
from tracin_dask.places.target import is_stream, refuse_device, stream

PART_SUFFIX = ".part"
WRITER = ".writer"
"""The lock in a folder that is not finished."""
_OTHER = "choose another output"


def part_of(path: Path) -> Path:
    """Name what is written until it is complete."""
    return path.with_name(f"{path.name}{PART_SUFFIX}")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing so that readers see the old one or the new one, never a piece.

    The bytes are on disk before the file gets its name; an error removes what was written. A symbolic link stays, and
    the file that it names is written. What is written to a pipe goes there at the end of the block.

    Raises
    ------
    BusyError
        If another process is writing the same file.
    WriteError
        If the path is a folder or a device, which must not be replaced.
    """
    refuse_device(path)
    if is_stream(path):
        with stream(path) as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    part = part_of(path)
    with locked_file(part, str(path), _OTHER) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error says more
                part.unlink()
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
        If `path` exists and is not to be overwritten, or is a file.
    """
    path = Path(os.path.realpath(path))
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
    (path / WRITER).unlink(missing_ok=True)


def delete_cut_off_files(folder: Place) -> None:
    """Delete what processes that were killed left of files of Zarr, which get their names when they are whole."""
    local = folder.local_path()
    for file in local.rglob("*.partial") if local is not None else ():
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Make the directory and lock it; the lock file lies inside, so it moves with the directory."""
    part.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(part / WRITER, str(part), _OTHER))
        except FileNotFoundError:
            raise BusyError(f"{part}: another process has just finished it; {_OTHER}") from None
        yield


def _refuse_existing(path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise StoreExistsError(f"{path}: a file is here, not a folder; {_OTHER}")
    if not overwrite:
        raise StoreExistsError(f"{path}: exists already; {_OTHER} or pass --overwrite (overwrite=True)")


def _clear(part: Path) -> None:
    for entry in part.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != WRITER:
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
    """Rename; a directory can not replace a full one, so an older one steps aside first, and comes back if it must."""
    old = path.with_name(f".{path.name}.replaced")
    is_replaced = path.exists()
    if is_replaced:
        shutil.rmtree(old, ignore_errors=True)
    try:
        if is_replaced:
            path.rename(old)
        part.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(old, ignore_errors=True)
