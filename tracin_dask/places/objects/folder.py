"""Folders of an object store: listed, deleted, and filled so that a reader sees the whole or nothing."""

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import obstore

from tracin_dask.places.objects.client import Store, client
from tracin_dask.places.objects.errors import explained
from tracin_dask.places.objects.lock import hold
from tracin_dask.places.part import PART_SUFFIX, WRITER
from tracin_dask.places.place import StoreExistsError

_AT_ONCE = 32
"""Objects that are copied at the same time."""
_ROOT = "zarr.json"
"""What makes a folder a Zarr group: it comes last, and goes first."""


def keys_below(store: Store, key: str, url: str) -> "Iterator[obstore.ObjectMeta]":
    """List the objects below a path; raises as `explained`."""
    with explained(url):
        for some in obstore.list(store, key or None):
            yield from some


@cache
def refuse_missing_bucket(root: str) -> None:
    """Refuse a bucket that does not exist; asked once for each that does.

    Raises
    ------
    ObjectStoreError
        If it does not exist, or as `explained`.
    """
    next(keys_below(client(root), "", root), None)


def delete_below(store: Store, keys: Sequence[str], url: str) -> None:
    """Delete objects, those first that make a folder a Zarr group; raises as `explained`."""
    first = [key for key in keys if _is_root(key)]
    for some in (first, [key for key in keys if not _is_root(key)]):
        if some:
            with explained(url), contextlib.suppress(FileNotFoundError):
                obstore.delete(store, some)


@contextlib.contextmanager
def new_folder(store: Store, key: str, url: str, *, overwrite: bool) -> Iterator[str]:
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
    part, part_url = f"{key}{PART_SUFFIX}", f"{url}{PART_SUFFIX}"
    lock = f"{part}/{WRITER}"
    _refuse_existing(store, key, url, overwrite=overwrite)
    with hold(store, lock, f"{part_url}/{WRITER}", part_url):
        _refuse_existing(store, key, url, overwrite=overwrite)
        _clear(store, part, part_url, lock)
        is_taking = False
        try:
            yield part
            is_taking = True
            _take_place(store, (part, key), url, lock)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error says more
                _clear(store, part, part_url, lock)
                if is_taking:
                    _clear(store, key, url, "")
            raise
        _clear(store, part, part_url, lock)


def _refuse_existing(store: Store, key: str, url: str, *, overwrite: bool) -> None:
    """Refuse what must stay; a folder that an interrupted process has not finished is none."""
    names = [found["path"].removeprefix(f"{key}/") for found in keys_below(store, key, url)]
    if not names:
        with explained(url), contextlib.suppress(FileNotFoundError):
            obstore.head(store, key)
            raise StoreExistsError(f"{url}: a file is here, not a folder; choose another output")
    if names and not overwrite and WRITER not in names:
        raise StoreExistsError(f"{url}: exists already; choose another output or pass --overwrite (overwrite=True)")


def _clear(store: Store, key: str, url: str, kept: str) -> None:
    delete_below(store, [found["path"] for found in keys_below(store, key, url) if found["path"] != kept], url)


def _take_place(store: Store, paths: tuple[str, str], url: str, lock: str) -> None:
    """Copy all objects of a folder to another one, which is marked as unfinished until the last one is there."""
    part, key = paths
    mark = f"{key}/{WRITER}"
    with explained(url):
        obstore.put(store, mark, b"", use_multipart=False)
    _clear(store, key, url, mark)
    found = [each["path"] for each in keys_below(store, part, url) if each["path"] != lock]
    last = f"{part}/{_ROOT}"

    def copy(source: str) -> None:
        with explained(url):
            obstore.copy(store, source, f"{key}{source.removeprefix(part)}")

    with ThreadPoolExecutor(_AT_ONCE) as copying:
        list(copying.map(copy, [each for each in found if each != last]))
    if last in found:
        copy(last)
    delete_below(store, [mark], url)


def _is_root(key: str) -> bool:
    return key.rpartition("/")[2] == _ROOT
