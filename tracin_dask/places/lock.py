"""A lock file: held by one process at a time, and it names that process to the others."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from tracin_dask.places.place import BusyError

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of a file system that has no locks."""
_held: set[int] = set()
"""The descriptors of the locks of this process."""


def _close_in_child() -> None:
    """Close the locks of the parent, so that a child that outlives it does not keep them."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a lock."""

    host: str
    process: int
    started: str
    """When it took the lock."""

    @classmethod
    def this_process(cls) -> "Holder":
        """Describe this process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(host=socket.gethostname(), process=os.getpid(), started=now)

    def __str__(self) -> str:
        """Name the process as a message does."""
        return f"process {self.process} on {self.host} (since {self.started})"

    def is_gone(self) -> bool:
        """Tell whether the process has surely ended; unknown for another machine."""
        if self.host != socket.gethostname() or self.process == os.getpid():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


@contextlib.contextmanager
def hold(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Hold a lock file until the block ends, and delete it then; `what` and `remedy` are for the message.

    A process that is killed loses the lock. On a file system without locks, the file itself is the lock: it is taken
    over only if its process ran on this machine and has ended.

    Raises
    ------
    BusyError
        If another process holds it, or another thread of this one; the message names the process.
    """
    file, is_new = _open(path)
    with file:
        is_locked = _lock(file)
        holder = _read(path)
        if is_locked is None:
            is_free = is_new or (holder is not None and holder.is_gone())
        else:
            is_free = is_locked and _is_same(file, path)
        if not is_free:
            raise BusyError(_busy(path, what, remedy, holder, has_locks=is_locked is not None))
        _held.add(file.fileno())
        try:
            _write(file)
            yield
        finally:
            _held.discard(file.fileno())
            if _is_same(file, path):  # it may have been renamed, with its folder
                with contextlib.suppress(OSError):
                    path.unlink()


@contextlib.contextmanager
def locked_file(path: Path, what: str, remedy: str) -> Iterator[BinaryIO]:
    """Open a file for writing that no other process is writing; raises as `hold`, but cannot name the process."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "wb") as file:
        if _lock(file) is False or not _is_same(file, path):
            raise BusyError(_busy(path, what, remedy, None, has_locks=True))
        file.truncate(0)
        yield file


def _open(path: Path) -> tuple[BinaryIO, bool]:
    """Open the file for writing, and say whether it is new."""
    try:
        return path.open("x+b"), True
    except FileExistsError:
        return path.open("a+b"), False


def _busy(path: Path, what: str, remedy: str, holder: Holder | None, *, has_locks: bool) -> str:
    who = "another process" if holder is None else str(holder)
    left = "" if has_locks else f" (if that process has ended, delete {path}: this file system has no locks)"
    return f"{what}: {who} is writing here; wait for it or {remedy}{left}"


def _lock(file: BinaryIO) -> bool | None:
    """Lock a file; False if it is locked already, None if the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


def _is_same(file: BinaryIO, path: Path) -> bool:
    """Tell whether the open file still has this path: the last holder may have deleted it meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _read(path: Path) -> Holder | None:
    """Read who holds the lock; None if it says nothing."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _write(file: BinaryIO) -> None:
    file.truncate(0)
    file.write(json.dumps(asdict(Holder.this_process())).encode())
    file.flush()
