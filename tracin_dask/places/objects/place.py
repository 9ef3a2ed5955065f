"""A file or folder of an object store as a place; a folder is what its objects have in common."""

import contextlib
import errno
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce
from io import BufferedReader
from itertools import takewhile
from operator import truediv
from typing import TYPE_CHECKING, BinaryIO, cast

import obstore

from tracin_dask.places.objects.client import Store, client
from tracin_dask.places.objects.errors import explained
from tracin_dask.places.objects.folder import delete, keys_below, new_folder, refuse_missing_bucket
from tracin_dask.places.objects.lock import hold
from tracin_dask.places.objects.reader import ObjectReader

if TYPE_CHECKING:
    from zarr.storage import StoreLike

_SPOOLED_BYTES = 1 << 26
"""What is written lies in memory up to so many bytes, and in a nameless temporary file beyond."""
_BUFFER_BYTES = 1 << 16
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPlace:
    """A file or folder of a bucket; pickles as its URL, so each process reads it with credentials of its own."""

    root: str
    """The bucket, e.g. `s3://bucket`."""
    key: str
    """The path in the bucket; "" for the bucket itself."""

    @classmethod
    def of(cls, url: str) -> "ObjectPlace":
        """Make a place of `scheme://bucket/path`; raises as `client`."""
        scheme, _, rest = url.partition("://")
        bucket, *names = filter(None, rest.split("/")) if rest else ("",)
        place = cls(root=f"{scheme}://{bucket}", key="/".join(names))
        client(place.root)
        return place

    def __str__(self) -> str:
        """Return the URL."""
        return f"{self.root}/{self.key}" if self.key else self.root

    @property
    def name(self) -> str:
        """The last part of the path."""
        return str(self).rpartition("/")[2]

    @property
    def parent(self) -> "ObjectPlace":
        """The folder that holds this place; a bucket is its own."""
        return ObjectPlace(root=self.root, key=self.key.rpartition("/")[0])

    def absolute(self) -> "ObjectPlace":
        """Return this place."""
        return self

    def __truediv__(self, name: str) -> "ObjectPlace":
        """Return the place `name` in this folder."""
        return ObjectPlace(root=self.root, key=f"{self.key}/{name}" if self.key else name)

    def is_file(self) -> bool:
        """Tell whether an object lies here; raises as `explained`."""
        if not self.key:
            return False
        try:
            with explained(str(self)):
                obstore.head(self._store, self.key)
        except FileNotFoundError:
            refuse_missing_bucket(self.root)
            return False
        return True

    def is_folder(self) -> bool:
        """Tell whether any object lies below this path; raises as `explained`, also for a missing bucket."""
        return next(keys_below(self.root, self.key), None) is not None

    def num_bytes(self) -> int:
        """Return the size of the object, or of all objects below this path."""
        try:
            with explained(str(self)):
                return obstore.head(self._store, self.key)["size"]
        except FileNotFoundError:
            return sum(found["size"] for found in keys_below(self.root, self.key))

    def open(self) -> BufferedReader:
        """Open the object for reading; raises as `explained`."""
        return BufferedReader(ObjectReader(self._store, self.key, str(self)), _BUFFER_BYTES)

    @contextlib.contextmanager
    def writer(self) -> Iterator[BinaryIO]:
        """Collect what is written, and send it when the block ends without an error; raises as `explained`."""
        with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as spooled:
            file = cast("BinaryIO", spooled)
            yield file
            file.seek(0)
            with explained(str(self)):
                obstore.put(self._store, self.key, file)

    def make_folder(self) -> None:
        """Do nothing: a folder is there with its first object."""

    @contextlib.contextmanager
    def new_folder(self, *, overwrite: bool = False) -> Iterator["ObjectPlace"]:
        """Give an empty folder to fill; raises as `folder.new_folder`."""
        with new_folder(self.root, self.key, overwrite=overwrite) as part:
            yield ObjectPlace(root=self.root, key=part)

    def lock(self, what: str) -> AbstractContextManager[None]:
        """Hold this object as a lock; raises as `hold`."""
        return hold(self.root, self.key, what)

    def find(self, pattern: str) -> list["ObjectPlace"]:
        """List what lies in this folder under a shell pattern; hidden files match only `.*`."""
        *above, _ = wanted = pattern.split("/")
        fixed = list(takewhile(lambda name: _MAGIC.search(name) is None, above))
        folder, wanted = reduce(truediv, fixed, self), wanted[len(fixed) :]
        start, names = f"{folder.key}/" if folder.key else "", set[str]()
        for found in self._paths(folder.key, is_deep=len(wanted) > 1):
            name = found.removeprefix(start).split("/")
            if len(name) >= len(wanted) and all(map(_matches, name, wanted)):
                names.add("/".join(name[: len(wanted)]))
        return [folder / name for name in sorted(names)]

    def _paths(self, key: str, *, is_deep: bool) -> Iterator[str]:
        """List the paths of all objects below a path, or of the objects and folders just below it."""
        if is_deep:
            yield from (found["path"] for found in keys_below(self.root, key))
            return
        with explained(str(self)):
            level = obstore.list_with_delimiter(self._store, key or None)
        yield from level["common_prefixes"]
        yield from (found["path"] for found in level["objects"])

    def delete(self) -> None:
        """Delete the object; refuse a folder that has any, as a file system does."""
        if self.is_folder():
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(self))
        with explained(str(self)), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, self.key)

    def sync(self) -> None:
        """Do nothing: an object is safe when it is written."""

    def check_writable(self) -> None:
        """Write an object here, or next to here, and delete it; raises as `explained`."""
        key = f"{self.key}.{uuid.uuid4().hex}.check"
        with explained(str(self)):
            obstore.put(self._store, key, b"", use_multipart=False)
        delete(self.root, [key])

    def free_bytes(self) -> None:
        """Return None: nobody knows."""

    def zarr_store(self) -> "StoreLike":
        """Return what Zarr reads and writes this folder through."""
        from tracin_dask.places.objects.zarr_store import FolderStore  # noqa: PLC0415 - Zarr is slow to import

        return FolderStore.of(self.root, self.key)

    def local_path(self) -> None:
        """Return None: the bytes lie elsewhere."""

    @property
    def _store(self) -> Store:
        return client(self.root)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith("."))
