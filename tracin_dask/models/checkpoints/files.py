"""Files of models: torch files and JSON, read without running code and written whole or not at all."""

import hashlib
import json
import os
import pickle  # only the name of its error: nothing is unpickled
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import nn

from tracin_dask.errors import CheckpointError
from tracin_dask.places.part import part_of, write_whole


def read_torch_file(path: Path, *, lazily: bool = False) -> Mapping[object, object]:
    """Read a dictionary of plain tensors, numbers and texts into CPU memory.

    `lazily` gives tensors that are views of the file, to be copied where they are kept: an optimizer's state, which
    is larger than the model, is then never read.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds anything that would have to be unpickled, or is no dictionary.
    """
    if not path.is_file():
        raise CheckpointError("there is no such file")
    try:
        with warnings.catch_warnings():
            # torch asks to file an issue about the pickle protocol of a whole model, whose refusal follows
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            contents = torch.load(path, map_location="cpu", weights_only=True, mmap=lazily and zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"loading it would unpickle objects, which can run code ({_reason(error)}). A safe checkpoint holds "
            "only tensors, numbers and texts: in the program that wrote it, load the model and save it again with "
            "torch.save({'model_state_dict': model.state_dict()}, path). If it is a whole model, as PyKEEN's "
            "trained_model.pkl, and you trust whoever wrote it as you would trust a program: --trust-pickle"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"no torch file, or a damaged one ({_reason(error)}); copy it again") from error
    if not isinstance(contents, Mapping):
        raise CheckpointError(f"holds a {type(contents).__name__}; a checkpoint is a dictionary of named tensors")
    return contents


def read_pickled_model(source: Path | BinaryIO) -> nn.Module:
    """Unpickle a whole model into CPU memory, which runs whatever code the file holds.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or holds no model.
    """
    if isinstance(source, Path) and not source.is_file():
        raise CheckpointError("there is no such file")
    try:
        found = torch.load(source, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ImportError, AttributeError, KeyError) as error:
        raise CheckpointError(f"cannot be unpickled: {error}") from error
    if not isinstance(found, nn.Module):
        raise CheckpointError(
            f"holds a {type(found).__name__}, no whole model; a file of weights is read without --trust-pickle"
        )
    return found


def write_torch_file(path: Path, contents: Mapping[str, object]) -> None:
    """Write a torch file whole or not at all; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    with part.open("wb") as file:
        torch.save(dict(contents), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_json_file(path: Path, contents: object) -> None:
    """Write a JSON file whole or not at all; missing folders are made, NaN and infinity are refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(contents, indent=2, allow_nan=False, ensure_ascii=False)
    write_whole(path, f"{text}\n".encode())


def file_sha256(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    lines = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()
    return (lines[0].split(" was not an allowed")[0] if lines else type(error).__name__)[:200]
