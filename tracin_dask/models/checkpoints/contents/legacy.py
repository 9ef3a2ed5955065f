"""Torch files of the format before version 1.6: pickles in a row, and then the values. They have no checksums."""

from mmap import mmap

import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents.archive import storage
from tracin_dask.models.checkpoints.contents.tensors import Ledger, Storage
from tracin_dask.models.checkpoints.contents.unpickler import StorageName, unpickle

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_LENGTH_BYTES = 8


def read_legacy(data: mmap) -> object:
    """Read the contents.

    Raises
    ------
    NotPlainError
        If it holds objects that are not harmless.
    CheckpointError
        If it is a pickle, but not torch's, or claims more than it holds.
    """
    if unpickle(data, _no_values) != _MAGIC_NUMBER:
        raise CheckpointError(
            "it is a plain pickle, not a torch file: in the program that wrote it, save it with "
            "torch.save({'model_state_dict': model.state_dict()}, path)"
        )
    unpickle(data, _no_values)  # the version of the format
    unpickle(data, _no_values)  # sizes of types of the machine that wrote it
    start, names = data.tell(), dict[str, StorageName]()

    def note(name: StorageName) -> Storage:
        names[name.key] = name
        return Storage(values=torch.empty(0, dtype=name.dtype), ledger=None)

    unpickle(data, note)
    keys = unpickle(data, _no_values)
    places = _places(data, [names[key] for key in keys] if isinstance(keys, list) else [])
    ledger = Ledger(file_bytes=len(data))
    found = {key: storage(data, place, names[key], ledger) for key, place in places.items()}
    data.seek(start)
    return unpickle(data, lambda name: _part(found[name.key], name))


def _no_values(name: StorageName) -> Storage:
    raise CheckpointError(f"its pickle names the values {name.key} where none can be; copy it again")


def _places(data: mmap, names: list[StorageName]) -> dict[str, slice]:
    """Find the values behind the pickles: each storage begins with its length."""
    start, places = data.tell(), dict[str, slice]()
    for name in names:
        length = int.from_bytes(data[start : start + _LENGTH_BYTES], "little")
        start += _LENGTH_BYTES
        stop = start + name.length * name.dtype.itemsize
        if length != name.length or stop > len(data):
            raise CheckpointError(f"its values {name.key} are cut off or damaged; copy it again")
        places[name.key] = slice(start, stop)
        start = stop
    return places


def _part(whole: Storage, name: StorageName) -> Storage:
    """Give the part of a storage that another storage was a view of."""
    if name.view is None:
        return whole
    _, offset, length = name.view
    return Storage(values=whole.values[offset : offset + length], ledger=whole.ledger)
