"""Files of models: read without running code, unless the user trusts them, and written whole or not at all."""

import hashlib
import io
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from torch import nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents.archive import MAGIC, read_archive
from tracin_dask.models.checkpoints.contents.foreign import foreign_kind
from tracin_dask.models.checkpoints.contents.legacy import read_legacy
from tracin_dask.models.checkpoints.contents.safetensors_file import is_safetensors, read_safetensors
from tracin_dask.models.checkpoints.contents.unpickler import FAILURES, NotPlainError
from tracin_dask.places.explained import writing
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of

_PICKLE_MAGIC = b"\x80"
_UNCHECKED = (
    "a file in {kind} has no checksums, so damage to its numbers cannot be seen; torch.save of version 1.6 or later "
    "writes them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContents:
    """What a file holds."""

    contents: Mapping[object, object] | nn.Module
    """A dictionary; or a whole model, where the user trusts the file."""
    data: mmap.mmap
    """The bytes that were read."""
    notes: tuple[str, ...] = ()
    """What the user should know of the file."""
    is_unpickled: bool = False
    """Whether code of the file could run: workers then get the model from the client, and never read the file."""

    @property
    def sha256(self) -> str:
        """The hash of the bytes that were read."""
        return hashlib.sha256(self.data).hexdigest()


def read_torch_file(path: AnyPath, *, lazily: bool = False) -> Mapping[object, object]:
    """Read a dictionary of plain tensors, numbers and texts into CPU memory; raises as `read_contents`."""
    contents = read_contents(path, lazily=lazily).contents
    assert isinstance(contents, Mapping)  # noqa: S101 - only a trusted file gives anything else
    return contents


def read_contents(path: AnyPath, *, trust_pickle: bool = False, lazily: bool = True) -> FileContents:
    """Read a checkpoint, and verify its checksums.

    Parameters
    ----------
    trust_pickle
        Unpickle the file if it holds objects that cannot be read without: that runs whatever code it holds.
    lazily
        Give tensors that are views of the file, to be copied where they are kept: an optimiser's state, which is
        larger than the model, then takes no memory.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, is not a dictionary, or holds anything that would have to be unpickled.
    """
    place = place_of(path)
    data = _bytes_of(place, mapped=lazily)
    notes, is_unpickled = _notes(data), False
    try:
        contents = _plain(data, place)
        if trust_pickle:
            notes = (*notes, "it was read without unpickling anything: --trust-pickle is not needed")
    except NotPlainError as error:
        if not trust_pickle:
            raise CheckpointError(
                f"loading it would unpickle objects, which can run code ({error}). A safe checkpoint holds "
                "only tensors, numbers and texts: in the program that wrote it, load the model and save it again with "
                "torch.save({'model_state_dict': model.state_dict()}, path). If you would run a program of its "
                "author, as for PyKEEN's trained_model.pkl of your own: --trust-pickle"
            ) from error
        contents, is_unpickled = unpickle_object(io.BytesIO(data)), True
    if not isinstance(contents, Mapping | nn.Module):
        raise CheckpointError(f"holds a {type(contents).__name__}; a checkpoint is a dictionary of named tensors")
    return FileContents(contents=contents, data=data, notes=notes, is_unpickled=is_unpickled)


def _bytes_of(place: Place, *, mapped: bool) -> mmap.mmap:
    """Map the bytes of a file into memory, or copy them there."""
    if not place.is_file():
        raise CheckpointError("there is no such file")
    try:
        with place.open() as file:
            if mapped and place.local_path() is not None and place.num_bytes():
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            found = file.read()
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror or error}") from error
    if not found:
        raise CheckpointError("not a torch file, or a damaged one (it is empty); copy it again")
    data = mmap.mmap(-1, len(found))
    data.write(found)
    data.seek(0)
    return data


def _plain(data: mmap.mmap, place: Place) -> object:
    """Read a file of any format that needs no unpickling."""
    try:
        if data[: len(MAGIC)] == MAGIC:
            return read_archive(data)
        if data[:1] == _PICKLE_MAGIC:
            return read_legacy(data)
    except CheckpointError:
        raise
    except FAILURES as error:
        raise CheckpointError(f"not a torch file, or a damaged one ({_reason(error)}); copy it again") from error
    if is_safetensors(data):
        return read_safetensors(data, place.local_path())
    kind = foreign_kind(data[:64].lstrip())
    raise CheckpointError(kind or "not a torch file, or a damaged one (it begins as none does); copy it again")


def _notes(data: mmap.mmap) -> tuple[str, ...]:
    if data[: len(MAGIC)] == MAGIC:
        return ()
    kind = "torch's older format" if data[:1] == _PICKLE_MAGIC else "the format safetensors"
    return (_UNCHECKED.format(kind=kind),)


def unpickle_object(source: io.BytesIO) -> Any:  # noqa: ANN401 - what the file holds
    """Unpickle a stream into CPU memory, which runs whatever code it holds.

    Raises
    ------
    CheckpointError
        If that fails.
    """
    try:
        return torch.load(source, map_location="cpu", weights_only=False)
    except Exception as error:  # the file's own code can raise anything
        raise CheckpointError(f"cannot be unpickled: {type(error).__name__}: {error}") from error


def write_torch_file(path: AnyPath, contents: Mapping[str, object]) -> None:
    """Write a torch file whole or not at all; missing folders are made.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    place = place_of(path)
    with writing(place, "the checkpoint"):
        place.parent.make_folder()
        with place.writer() as file:
            _save(contents, file)


def _save(contents: Mapping[str, object], file: BinaryIO) -> None:
    try:
        torch.save(dict(contents), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch's archive cannot be closed after the file's own error
            raise error.__context__ from None
        raise


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
