"""A lock in an object store: an object that only one process can make, and that names it to the others."""

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from typing import cast

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from tracin_dask.places.lock import Holder
from tracin_dask.places.objects.client import Store, client
from tracin_dask.places.objects.errors import explained
from tracin_dask.places.place import BusyError

_TOKEN = "token"  # noqa: S105 - tells two locks of one process apart
_held: set[str] = set()
"""The tokens of the locks that this process holds."""


@contextlib.contextmanager
def hold(root: str, key: str, what: str) -> Iterator[None]:
    """Hold an object as a lock until the block ends, and delete it then; `what` is for the message.

    The lock of a process that was killed stays. It is taken over if that process ran on this machine; else the message
    says what to delete.

    Raises
    ------
    BusyError
        If another process holds it, or another thread of this one; the message names the process.
    """
    token, url = uuid.uuid4().hex, f"{root}/{key}"
    content = json.dumps(asdict(Holder.this_process()) | {_TOKEN: token}).encode()
    with explained(url):
        store = client(root)
        if not _made(store, key, content) and not _taken_over(store, key, content):
            raise BusyError(_busy(store, key, url, what))
    _held.add(token)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # the first error says more
            _let_go(root, key, token)
        raise
    _let_go(root, key, token)


def _let_go(root: str, key: str, token: str) -> None:
    _held.discard(token)
    with explained(f"{root}/{key}"), contextlib.suppress(FileNotFoundError):
        obstore.delete(client(root), key)


def _made(store: Store, key: str, content: bytes) -> bool:
    """Make the object if there is none."""
    try:
        obstore.put(store, key, content, mode="create", use_multipart=False)
    except AlreadyExistsError:
        return _content(store, key)[0] == content  # by a first try whose answer was lost
    return True


def _taken_over(store: Store, key: str, content: bytes) -> bool:
    """Replace the object of a process that has ended; only one process can replace the same version."""
    found, version = _content(store, key)
    if version is None:
        return _made(store, key, content)
    if not _is_gone(found):
        return False
    try:
        obstore.put(store, key, content, mode=version, use_multipart=False)
    except PreconditionError:
        return _content(store, key)[0] == content
    return True


def _content(store: Store, key: str) -> "tuple[bytes, obstore.UpdateVersion | None]":
    """Read the object, and what tells its version; nothing if it is gone."""
    try:
        found = obstore.get(store, key)
    except FileNotFoundError:
        return b"", None
    told = {name: found.meta[name] for name in ("e_tag", "version")}
    version = cast("obstore.UpdateVersion", {name: text for name, text in told.items() if text is not None})
    return bytes(found.bytes()), version


def _is_gone(content: bytes) -> bool:
    """Tell whether whoever made the lock has surely ended; this process holds no lock that it could not delete."""
    holder = _holder(content)
    if holder is None or holder.is_gone():
        return holder is not None
    is_mine = (holder.host, holder.process) == (socket.gethostname(), os.getpid())
    return is_mine and json.loads(content).get(_TOKEN) not in _held


def _holder(content: bytes) -> Holder | None:
    """Read who holds the lock; None if it does not say."""
    try:
        known = json.loads(content)
        return Holder(host=known["host"], process=known["process"], started=known["started"])
    except (ValueError, TypeError, KeyError):
        return None


def _busy(store: Store, key: str, url: str, what: str) -> str:
    who = _holder(_content(store, key)[0]) or "another process"
    return (
        f"{what}: {who} is writing here; wait for it or choose another output (if that process has ended, delete {url})"
    )
