"""Reads an object as a file: a small one by one request, others by ranges, which grow while they are read in order."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import obstore
from obstore.exceptions import PreconditionError

from tracin_dask.errors import ObjectStoreError
from tracin_dask.places.objects.client import Store
from tracin_dask.places.objects.errors import explained

FIRST_BYTES, MOST_BYTES = 1 << 20, 1 << 25
"""A range has at least and at most so many bytes; the next one is twice as long, if it follows the last one.

An object of at most `FIRST_BYTES` is read whole.
"""


class ObjectReader(io.RawIOBase):
    """An object, open for reading; a range is kept in memory until another one is needed.

    All ranges are of one version of the object: one that is replaced in the meantime is refused.
    """

    def __init__(self, store: Store, key: str, url: str) -> None:
        """Ask for the object; take its size from the answer, and its bytes if they are few. Raises as `explained`."""
        self._store, self._key, self._url = store, key, url
        with explained(url), self._refusing_another():
            found = obstore.get(store, key)  # an answer whose bytes are not taken is broken off
            self._size, self._tag = found.meta["size"], found.meta["e_tag"]
            self._range = memoryview(found.bytes() if self._size <= FIRST_BYTES else b"")
        self._position = self._start = 0
        self._next_bytes = FIRST_BYTES

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position; nothing is read."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override] # typing_extensions has no Buffer for 3.11
        """Copy the next bytes, as many as there are in the range at hand."""
        wanted = memoryview(buffer).cast("B")
        at = self._position - self._start
        if not 0 <= at < len(self._range):
            if self._position >= self._size or not wanted:
                return 0
            self._fetch(len(wanted))
            at = 0
        found = self._range[at : at + len(wanted)]
        wanted[: len(found)] = found
        self._position += len(found)
        return len(found)

    @contextmanager
    def _refusing_another(self) -> Iterator[None]:
        try:
            yield
        except PreconditionError as error:
            raise ObjectStoreError(f"{self._url}: it was replaced while it was read; read it again") from error

    def _fetch(self, wanted_bytes: int) -> None:
        """Get the range that begins at the position."""
        follows = self._position == self._start + len(self._range)
        self._next_bytes = min(2 * self._next_bytes, MOST_BYTES) if follows and self._range else FIRST_BYTES
        stop = min(self._position + max(self._next_bytes, min(wanted_bytes, MOST_BYTES)), self._size)
        self._range = memoryview(b"")  # freed before the next one comes
        with explained(self._url), self._refusing_another():
            options: obstore.GetOptions = {"range": (self._position, stop)}
            if self._tag is not None:
                options["if_match"] = self._tag
            self._range = memoryview(obstore.get(self._store, self._key, options=options).bytes())
        self._start = self._position
