"""From a path or a URL to its place, by the scheme of the URL."""

import glob
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from tracin_dask.errors import PlaceError
from tracin_dask.places.local import LocalPlace
from tracin_dask.places.place import AnyPath, Place

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
"""One slash is enough: `pathlib.Path` takes the other one away."""


def _file(url: str) -> Place:
    return LocalPlace.of("/" + unquote(url.removeprefix("file://")))


def _object(url: str) -> Place:
    """Give a place of an object store, whose client is slow to import.

    Raises
    ------
    PlaceError
        If obstore is not installed, or as `ObjectPlace.of`.
    """
    try:
        objects = importlib.import_module("tracin_dask.places.objects.place")
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise PlaceError(
            f"{url}: object stores need obstore; install it with: pip install 'tracin-dask[objects]'"
        ) from error
    place: Place = objects.ObjectPlace.of(url)
    return place


_PLACES: dict[str, Callable[[str], Place]] = {"file": _file, "s3": _object, "gs": _object, "az": _object}
"""By the scheme; each function takes a URL `scheme://...` without a slash at its end."""


def register_place(scheme: str, make: Callable[[str], Place]) -> None:
    """Let `make` give the places of the URLs `scheme://...`; every worker process must do the same."""
    _PLACES[scheme.lower()] = make


def place_of(path: AnyPath) -> Place:
    """Give the place of a path or URL; a place is returned as it is.

    Raises
    ------
    PlaceError
        If no place is registered for the scheme of the URL.
    """
    if not isinstance(path, str | Path):
        return path
    text = str(path)
    found = _URL.fullmatch(text)
    if found is None:
        return LocalPlace.of(text)
    scheme, rest = found[1].lower(), found[2].rstrip("/")
    if scheme not in _PLACES:
        known = ", ".join(f"{name}://" for name in sorted(_PLACES))
        raise PlaceError(
            f"{scheme}://{rest}: no place is known for {scheme}://; expected a path of the file system or a URL that "
            f"starts with {known}; copy the files there, or register the place (tracin_dask.places.registry)"
        )
    return _PLACES[scheme](f"{scheme}://{rest}")


def local_path_of(path: AnyPath, what: str) -> Path:
    """Give the path of `what`, which only the file system can hold.

    Raises
    ------
    PlaceError
        If it is the URL of another place, or as `place_of`.
    """
    place = place_of(path)
    local = place.local_path()
    if local is None:
        raise PlaceError(f"{place} is a URL, but {what} has to lie in the file system; give a path")
    return local


def find_places(pattern: Place) -> list[Place]:
    """List the places that match a path or URL, read as a shell pattern like `runs/*/epoch_?0.pt`."""
    folder, parts = pattern, list[str]()
    while glob.has_magic(str(folder)):
        parts.insert(0, folder.name)
        folder = folder.parent
    return list(folder.find("/".join(parts)))
