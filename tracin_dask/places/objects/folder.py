"""Folders of an object store: listed, deleted, and filled so that a reader sees the whole or nothing."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import obstore

from tracin_dask.places.objects.client import client
from tracin_dask.places.objects.errors import explained
from tracin_dask.places.objects.lock import hold
from tracin_dask.places.part import PART_SUFFIX, WRITER
from tracin_dask.places.place import StoreExistsError

_AT_ONCE = 32
"""Objects that are copied at the same time."""
_GROUP = "zarr.json"
"""What makes a folder a Zarr group: it comes last, and goes first."""


def keys_below(root: str, key: str) -> "Iterator[obstore.ObjectMeta]":
    """List the objects below a path of a bucket; raises as `explained`."""
    with explained(f"{root}/{key}"):
        for some in obstore.list(client(root), key or None):
            yield from some


@cache
def refuse_missing_bucket(root: str) -> None:
    """Refuse a bucket that does not exist; asked once for each that does.

    Raises
    ------
    ObjectStoreError
        If it does not exist, or as `explained`.
    """
    next(keys_below(root, ""), None)


def delete(root: str, keys: Sequence[str]) -> None:
    """Delete objects, those first that make a folder a Zarr group; raises as `explained`."""
    first = [key for key in keys if _is_group(key)]
    for some in (first, [key for key in keys if not _is_group(key)]):
        if some:
            with explained(f"{root}/{some[0]}"), contextlib.suppress(FileNotFoundError):
                obstore.delete(client(root), some)


@contextlib.contextmanager
def new_folder(root: str, key: str, *, overwrite: bool) -> Iterator[str]:
    """Give the path `<key>.part` to fill; its objects are copied to `key` when the block ends without an error.

    The store copies them itself. Between the first and the last copy, there is no `zarr.json` at `key`, so neither an
    earlier folder nor the new one is read in part. What an interrupted process left is removed first.

    Raises
    ------
    BusyError
        If another process is filling the same folder.
    StoreExistsError
        If `key` exists and is not to be overwritten, or is an object.
    """
    part = f"{key}{PART_SUFFIX}"
    lock = f"{part}/{WRITER}"
    _refuse_existing(root, key, overwrite=overwrite)
    with hold(root, lock, f"{root}/{part}"):
        _refuse_existing(root, key, overwrite=overwrite)
        _clear(root, part, lock)
        is_taking = False
        try:
            yield part
            is_taking = True
            _take_place(root, part, key)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error says more
                if is_taking:
                    _clear(root, key)
                _clear(root, part, lock)
            raise
        _clear(root, part, lock)


def _refuse_existing(root: str, key: str, *, overwrite: bool) -> None:
    """Refuse what must stay; a folder that an interrupted process has not finished is none."""
    url = f"{root}/{key}"
    names = {found["path"].removeprefix(f"{key}/") for found in keys_below(root, key)}
    if not names:
        with explained(url), contextlib.suppress(FileNotFoundError):
            obstore.head(client(root), key)
            raise StoreExistsError(f"{url}: a file is here, not a folder; choose another output")
    if names and not overwrite and WRITER not in names:
        raise StoreExistsError(f"{url}: exists already; choose another output or pass --overwrite (overwrite=True)")


def _clear(root: str, key: str, kept: str = "") -> None:
    delete(root, [found["path"] for found in keys_below(root, key) if found["path"] != kept])


def _take_place(root: str, part: str, key: str) -> None:
    """Copy all objects of a folder to another one, which is marked as unfinished until the last one is there."""
    mark = f"{key}/{WRITER}"
    with explained(f"{root}/{mark}"):
        obstore.put(client(root), mark, b"", use_multipart=False)
    _clear(root, key, mark)
    names = [found["path"].removeprefix(f"{part}/") for found in keys_below(root, part)]

    def copy(name: str) -> None:
        with explained(f"{root}/{key}/{name}"):
            obstore.copy(client(root), f"{part}/{name}", f"{key}/{name}")

    with ThreadPoolExecutor(_AT_ONCE) as copying:
        list(copying.map(copy, [name for name in names if name not in {WRITER, _GROUP}]))
    if _GROUP in names:
        copy(_GROUP)
    delete(root, [mark])


def _is_group(key: str) -> bool:
    return key.rpartition("/")[2] == _GROUP
