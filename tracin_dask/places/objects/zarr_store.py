"""What Zarr reads and writes an object store through: obstore's, with errors that say what to do."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from tracin_dask.places.objects.client import Store, client
from tracin_dask.places.objects.errors import explained


class ExplainedStore(ObjectStore[Store]):
    """A whole bucket, whose every request raises as `explained`."""

    def __init__(self, store: Store, *, read_only: bool = False, root: str = "") -> None:
        """Take a bucket and its URL."""
        super().__init__(store, read_only=read_only)
        self._root = root

    @classmethod
    def of(cls, root: str) -> "ExplainedStore":
        """Open a bucket, e.g. `s3://bucket`; raises as `client`."""
        return cls(client(root), root=root)

    def with_read_only(self, read_only: bool = False) -> "ExplainedStore":  # noqa: FBT001, FBT002 - Zarr's signature
        """Give the same bucket, for reading only or not."""
        return type(self)(self.store, read_only=read_only, root=self._root)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object or a part of it; None if there is none."""
        with self._explained(key):
            return await super().get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of objects."""
        with self._explained(""):
            return await super().get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object."""
        with self._explained(key):
            return await super().exists(key)

    async def getsize(self, key: str) -> int:
        """Give the size of an object in bytes."""
        with self._explained(key):
            return await super().getsize(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        with self._explained(key):
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object, unless there is one."""
        with self._explained(key):
            await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        with self._explained(key):
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete everything below a path."""
        with self._explained(prefix):
            await super().delete_dir(prefix)

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override] # a generator, as in the class above
        """List everything below a path."""
        with self._explained(prefix):
            async for key in super().list_prefix(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override] # a generator, as in the class above
        """List what lies in a folder."""
        with self._explained(prefix):
            async for key in super().list_dir(prefix):
                yield key

    def _explained(self, key: str) -> AbstractContextManager[None]:
        return explained(f"{self._root}/{key}")
