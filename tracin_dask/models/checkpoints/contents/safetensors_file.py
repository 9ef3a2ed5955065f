"""Safetensors files: tensors by name, and texts about them. They have no checksums."""

import json
from collections.abc import Mapping
from mmap import mmap
from pathlib import Path
from typing import Any

from tracin_dask.errors import CheckpointError

_LENGTH_BYTES = 8
_TEXTS = "__metadata__"


def is_safetensors(data: mmap) -> bool:
    """Tell whether a file begins with the length of a JSON object."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    return 2 <= length <= len(data) - _LENGTH_BYTES and data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"


def read_safetensors(data: mmap, path: Path | None) -> Mapping[str, object]:
    """Read the contents {state_dict, ...}, with the texts of the metadata as entries: numbers and JSON are parsed.

    Raises
    ------
    CheckpointError
        If the library is missing, or the file is damaged.
    """
    try:
        from safetensors import SafetensorError  # noqa: PLC0415 - an optional dependency
        from safetensors.torch import load, load_file  # noqa: PLC0415 - optional
    except ImportError as error:
        raise CheckpointError(
            f"it is a safetensors file, and the library for these is missing ({error}): "
            "pip install 'tracin-dask[safetensors]'"
        ) from error
    try:
        tensors = load(data[:]) if path is None else load_file(path)
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        texts = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length]).get(_TEXTS, {})
    except (SafetensorError, KeyError, ValueError, RecursionError, RuntimeError) as error:
        raise CheckpointError(f"a damaged safetensors file ({error}); copy it again") from error
    return {**{name: _parsed(text) for name, text in texts.items()}, "state_dict": tensors}


def _parsed(text: str) -> Any:  # noqa: ANN401 - what the file holds
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
