"""Small files of any place, by path or URL: read, written whole, and hashed."""

import hashlib
import json
from contextlib import AbstractContextManager

from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of


def exists(path: AnyPath) -> bool:
    """Tell whether a file or a folder lies here."""
    place = place_of(path)
    return place.is_file() or place.is_folder()


def read_bytes(path: AnyPath) -> bytes:
    """Read a file into memory."""
    with place_of(path).open() as file:
        return file.read()


def write_bytes(path: AnyPath, data: bytes) -> None:
    """Write a file, whole or not at all, into a folder that exists."""
    with place_of(path).writer() as file:
        file.write(data)


def write_json_file(path: AnyPath, contents: object) -> None:
    """Write a JSON file whole or not at all; missing folders are made, NaN and infinity are refused."""
    place_of(path).parent.make_folder()
    text = json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def locked_file(path: AnyPath) -> AbstractContextManager[None]:
    """Let no other process write this file or store until the block ends; raises as `Place.lock`."""
    place = place_of(path)
    return (place.parent / f"{place.name}.lock").lock(str(place))


def locked_folder(path: AnyPath) -> AbstractContextManager[None]:
    """Let no other process write into this folder, which exists, until the block ends; raises as `Place.lock`."""
    return (place_of(path) / ".lock").lock(str(path))


def sha256_of(path: AnyPath) -> str:
    """Hash the bytes of a file."""
    with place_of(path).open() as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
