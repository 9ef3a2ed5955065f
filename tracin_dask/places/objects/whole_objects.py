"""Objects that are read in parts, kept whole for a while: one request instead of one for every part."""

import asyncio
from collections import OrderedDict
from functools import partial

import obstore

from tracin_dask.places.objects.client import Store

MOST_OBJECTS = 6
"""Objects that are kept: two arrays' shards that are being read, and those that come next."""
MOST_BYTES = 1 << 24
"""Larger objects are read in parts; a shard of training triples has at most 6 MiB."""


class WholeObjects:
    """The last few objects of a bucket of which a part was asked for; for one event loop."""

    def __init__(self, store: Store) -> None:
        """Begin with none."""
        self._store = store
        self._kept: OrderedDict[str, asyncio.Task[memoryview | None]] = OrderedDict()

    async def get(self, path: str) -> memoryview | None:
        """Read an object, unless it is kept or on its way; None if it is missing or too large."""
        if path not in self._kept:
            self._kept[path] = asyncio.create_task(self._read(path))
            self._kept[path].add_done_callback(partial(self._forget_failure, path))
            while len(self._kept) > MOST_OBJECTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(path)
        return await self._kept[path]

    async def _read(self, path: str) -> memoryview | None:
        try:
            found = await obstore.get_async(self._store, path)
        except FileNotFoundError:
            return None
        return memoryview(await found.bytes_async()) if found.meta["size"] <= MOST_BYTES else None

    def _forget_failure(self, path: str, task: "asyncio.Task[memoryview | None]") -> None:
        """Let an object that could not be read be asked for again."""
        if (task.cancelled() or task.exception() is not None) and self._kept.get(path) is task:
            del self._kept[path]
