"""Torch files, which are zip archives: every member is compared with its checksum before anything is used."""

import io
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from mmap import mmap
from struct import error as struct_error

import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents.tensors import Ledger, Storage
from tracin_dask.models.checkpoints.contents.unpickler import FAILURES, StorageName, unpickle

MAGIC = b"PK\x03\x04"
"""The first bytes."""
_HEADER_BYTES = 30
_IS_UTF8 = 0x800
_PICKLE = "data.pkl"


def read_archive(data: mmap) -> object:
    """Read the contents; tensors are views of the file's bytes.

    Raises
    ------
    CheckpointError
        If the archive is damaged, is no torch file, or claims more than it holds.
    """
    members = _members(data)
    folder = _folder_of(members)
    order = data[members[f"{folder}byteorder"]].decode() if f"{folder}byteorder" in members else "little"
    if order != sys.byteorder:
        raise CheckpointError(
            f"its numbers have the byte order {order!r}, this machine has {sys.byteorder!r}: load and save it on the "
            "machine that wrote it with torch.serialization.set_default_load_endianness"
        )
    ledger, found = Ledger(file_bytes=len(data)), dict[tuple[str, torch.dtype], Storage]()

    def find(name: StorageName) -> Storage:
        key = (name.key, name.dtype)
        if key not in found:
            place = members.get(f"{folder}data/{name.key}")
            if place is None:
                raise CheckpointError(f"its values {name.key} are missing; copy it again")
            found[key] = storage(data, place, name, ledger)
        return found[key]

    return unpickle(io.BytesIO(data[members[folder + _PICKLE]]), find)


def storage(data: mmap, place: slice, name: StorageName, ledger: Ledger) -> Storage:
    """Give a storage, whose bytes lie at this place of the file."""
    held = (place.stop - place.start) // name.dtype.itemsize
    if name.length > held:
        raise CheckpointError(f"its values {name.key} are {held:,}, where {name.length:,} are stated; copy it again")
    if not name.length:
        return Storage(values=torch.empty(0, dtype=name.dtype), ledger=ledger)
    if place.start % name.dtype.itemsize:
        part = bytearray(data[place.start : place.start + name.length * name.dtype.itemsize])
        return Storage(values=torch.frombuffer(part, dtype=name.dtype), ledger=ledger)
    values = torch.frombuffer(data, dtype=name.dtype, count=name.length, offset=place.start)
    return Storage(values=values, ledger=ledger)


def _members(data: mmap) -> dict[str, slice]:
    """Find the bytes of every member, and compare them with its checksum."""
    try:
        entries = zipfile.ZipFile(_Whole(data)).infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct_error, *FAILURES, OSError) as error:  # raised by zipfile
        raise CheckpointError(f"not a torch file, or a damaged one ({error}); copy it again") from error
    twice = [name for name, number in Counter(entry.filename for entry in entries).items() if number > 1]
    if twice:
        raise CheckpointError(f"its archive holds {twice[0]!r} twice, which torch never writes; save it again")
    claimed = sum(entry.file_size for entry in entries)
    if claimed > len(data):
        raise CheckpointError(
            f"its archive claims {claimed:,} bytes and has {len(data):,}: it is damaged, or compressed, which torch "
            "writes in no file; save it again with torch.save"
        )
    return {entry.filename: _checked(data, entry) for entry in entries}


def _checked(data: mmap, entry: zipfile.ZipInfo) -> slice:
    """Find a member behind its header."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.compress_size != entry.file_size:
        raise CheckpointError(
            f"{entry.filename!r} in its archive is compressed or encrypted, which torch writes in no file; save it "
            "again with torch.save"
        )
    header = data[entry.header_offset : entry.header_offset + _HEADER_BYTES]
    start = entry.header_offset + _HEADER_BYTES + int.from_bytes(header[26:28], "little")
    name = data[entry.header_offset + _HEADER_BYTES : start]
    start += int.from_bytes(header[28:30], "little")
    place = slice(start, start + entry.file_size)
    is_here = header[:4] == MAGIC and name == _encoded(entry) and place.stop <= len(data)
    if not is_here or zlib.crc32(memoryview(data)[place]) != entry.CRC:
        raise CheckpointError(
            f"it is damaged: the bytes of {entry.filename!r} do not have the checksum that the file states; copy it "
            "again from where it was written"
        )
    return place


def _encoded(entry: zipfile.ZipInfo) -> bytes:
    """Give the name as the file spells it."""
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & _IS_UTF8 else "cp437", errors="replace")


def _folder_of(members: Mapping[str, slice]) -> str:
    """Give the folder of the archive that holds the pickle."""
    found = [name.removesuffix(_PICKLE) for name in members if name.endswith(f"/{_PICKLE}") and name.count("/") == 1]
    if len(found) != 1:
        first = ", ".join(sorted(members)[:3]) or "nothing"
        raise CheckpointError(f"it is a zip archive, but no torch file: it has no {_PICKLE}; it holds {first}")
    if f"{found[0]}constants.pkl" in members:
        raise CheckpointError(
            "it is a TorchScript program, which holds code: save the weights with "
            "torch.save(torch.jit.load(path).state_dict(), path)"
        )
    return found[0]


class _Whole(io.RawIOBase):
    """The file for `zipfile`, which reads the list of members at its end."""

    def __init__(self, data: mmap) -> None:
        self._data, self._place = data, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        place = offset + (0, self._place, len(self._data))[whence]
        if place < 0:
            raise OSError("before the file")
        self._place = place
        return place

    def read(self, size: int = -1) -> bytes:
        found = self._data[self._place : None if size < 0 else self._place + size]
        self._place += len(found)
        return found
