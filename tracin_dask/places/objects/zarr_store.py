"""What Zarr reads and writes a folder of an object store through: obstore's, with errors that say what to do."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager

from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from tracin_dask.places.objects import client
from tracin_dask.places.objects.errors import explained
from tracin_dask.places.objects.whole_objects import WholeObjects


class FolderStore(ObjectStore[client.Store]):
    """A folder of a bucket: Zarr sees nothing above it. Every request raises as `explained`."""

    def __init__(self, store: client.Store, *, read_only: bool = False, root: str = "", folder: str = "") -> None:
        """Take a bucket, its URL, and the path of the folder."""
        super().__init__(store, read_only=read_only)
        self._root, self._folder = root, folder
        self._whole = WholeObjects(store)

    @classmethod
    def of(cls, root: str, folder: str) -> "FolderStore":
        """Open a folder of a bucket, e.g. of `s3://bucket`; raises as `client`."""
        return cls(client.client(root), root=root, folder=folder)

    def with_read_only(self, read_only: bool = False) -> "FolderStore":  # noqa: FBT001, FBT002 - Zarr's signature
        """Give the same folder, for reading only or not."""
        return type(self)(self.store, read_only=read_only, root=self._root, folder=self._folder)

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same folder."""
        is_same = isinstance(other, FolderStore) and (self._root, self._folder) == (other._root, other._folder)
        return is_same and super().__eq__(other)

    def __hash__(self) -> int:
        """Hash the URL."""
        return hash((self._root, self._folder))

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object or a part of it; None if there is none.

        Zarr asks for the index of a shard and for its chunks one after the other: a shard is read whole.
        """
        path = self._path(key)
        with self._explained(key):
            if self.read_only and isinstance(byte_range, RangeByteRequest | SuffixByteRequest):
                whole = await self._whole.get(path)
                if whole is not None:
                    return prototype.buffer.from_bytes(_part(whole, byte_range))
            return await super().get(path, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of objects."""
        with self._explained(""):
            return await super().get_partial_values(prototype, [(self._path(key), part) for key, part in key_ranges])

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object."""
        with self._explained(key):
            return await super().exists(self._path(key))

    async def getsize(self, key: str) -> int:
        """Give the size of an object in bytes."""
        with self._explained(key):
            return await super().getsize(self._path(key))

    async def getsize_prefix(self, prefix: str) -> int:
        """Give the size of everything below a path in bytes."""
        with self._explained(prefix):
            return await super().getsize_prefix(self._path(prefix))

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        with self._explained(key):
            await super().set(self._path(key), value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object, unless there is one."""
        with self._explained(key):
            await super().set_if_not_exists(self._path(key), value)

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        with self._explained(key):
            await super().delete(self._path(key))

    async def delete_dir(self, prefix: str) -> None:
        """Delete everything below a path."""
        await Store.delete_dir(self, prefix)  # which lists and deletes by the methods of this class

    def list(self) -> AsyncIterator[str]:  # type: ignore[override] # an iterator, as Zarr's protocol says
        """List everything."""
        return self.list_prefix("")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override] # the same
        """List everything below a path."""
        with self._explained(prefix):
            async for path in super().list_prefix(self._path(prefix)):
                yield path.removeprefix(f"{self._folder}/")

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:  # type: ignore[override] # the same
        """List what lies in a folder."""
        with self._explained(prefix):
            async for name in super().list_dir(self._path(prefix)):
                yield name

    def _path(self, key: str) -> str:
        return "/".join(filter(None, (self._folder, key)))

    def _explained(self, key: str) -> AbstractContextManager[None]:
        return explained(f"{self._root}/{self._path(key)}")


def _part(whole: memoryview, asked: RangeByteRequest | SuffixByteRequest) -> bytes:
    if isinstance(asked, RangeByteRequest):
        return bytes(whole[asked.start : asked.end])
    return bytes(whole[max(0, len(whole) - asked.suffix) :])
