"""Files of models: torch files and JSON, read without running code and written whole or not at all."""

import pickle  # only the name of its error: nothing is unpickled
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import torch
from torch import nn

from tracin_dask.errors import CheckpointError
from tracin_dask.places.explained import writing
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of


def read_torch_file(path: AnyPath, *, lazily: bool = False) -> Mapping[object, object]:
    """Read a dictionary of plain tensors, numbers and texts into CPU memory.

    `lazily` gives tensors that are views of the file, to be copied where they are kept: an optimizer's state, which
    is larger than the model, is then never read.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds anything that would have to be unpickled, or is not a dictionary.
    """
    place = place_of(path)
    if not place.is_file():
        raise CheckpointError("there is no such file")
    try:
        with warnings.catch_warnings():
            # torch asks to file an issue about the pickle protocol of a whole model, whose refusal follows
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            contents = _load_plain(place, lazily=lazily)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"loading it would unpickle objects, which can run code ({_reason(error)}). A safe checkpoint holds "
            "only tensors, numbers and texts: in the program that wrote it, load the model and save it again with "
            "torch.save({'model_state_dict': model.state_dict()}, path). If it is a whole model, such as "
            "PyKEEN's trained_model.pkl, and you would run a program of its author: --trust-pickle"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"not a torch file, or a damaged one ({_reason(error)}); copy it again") from error
    if not isinstance(contents, Mapping):
        raise CheckpointError(f"holds a {type(contents).__name__}; a checkpoint is a dictionary of named tensors")
    return contents


def _load_plain(place: Place, *, lazily: bool) -> Any:  # noqa: ANN401 - what the file holds
    """Load by path where there is one, because only a file of the file system can be mapped into memory."""
    path = place.local_path()
    if path is not None:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=lazily and zipfile.is_zipfile(path))
    with place.open() as file:
        return torch.load(file, map_location="cpu", weights_only=True)


def read_pickled_model(path: AnyPath) -> nn.Module:
    """Unpickle a whole model into CPU memory, which runs whatever code the file holds.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or holds no model.
    """
    try:
        file = place_of(path).open()
    except FileNotFoundError as error:
        raise CheckpointError("there is no such file") from error
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}") from error
    with file:
        return unpickle_model(file)


def unpickle_model(source: BinaryIO) -> nn.Module:
    """Unpickle a whole model from a stream; raises as `read_pickled_model`."""
    try:
        found = torch.load(source, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ImportError, AttributeError, KeyError) as error:
        raise CheckpointError(f"cannot be unpickled: {error}") from error
    if not isinstance(found, nn.Module):
        raise CheckpointError(
            f"holds a {type(found).__name__}, not a whole model; leave --trust-pickle out for a file of weights"
        )
    return found


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
    lines = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()
    return (lines[0].split(" was not an allowed")[0] if lines else type(error).__name__)[:200]
