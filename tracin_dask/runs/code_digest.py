"""A digest of the source code that computes scores: finished work is never continued by another engine."""

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from tracin_dask.errors import ResumeError

SCORING_FOLDERS = ("influence", "models", "runs/inputs", "runs/sinks", "runs/work")
"""The packages that load models, read groups and masks, compute influences, and write down what is kept of them."""


@cache
def scoring_code_digest() -> str:
    """Give the digest for this installation; raises as `digest_of_sources`."""
    return digest_of_sources(files("tracin_dask"))


def digest_of_sources(package: Traversable) -> str:
    """Give a digest of the source files that compute scores, the same on every machine that has the same files.

    It works wherever Python finds the package: in a checkout, an installed wheel, or a zip file.

    Raises
    ------
    ResumeError
        If a folder has no source files, as where only compiled ones were installed.
    """
    digest = hashlib.sha256()
    for folder in SCORING_FOLDERS:
        sources = dict(_sources(package.joinpath(*folder.split("/")), folder))
        if not sources:
            raise ResumeError(
                f"{package} has no source files (.py) in {folder}, so finished work cannot be tied to the code that "
                "computed it; install tracin-dask with its sources, or run without a record directory and save_scores"
            )
        for name in sorted(sources):
            digest.update(f"{name}\n{len(sources[name])}\n".encode() + sources[name])
    return digest.hexdigest()


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """Give the source files below a folder, by their paths in the package, with the newlines of Unix."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        path = f"{name}/{entry.name}"
        if entry.is_dir():
            yield from _sources(entry, path)
        elif entry.name.endswith(".py"):
            yield path, entry.read_bytes().replace(b"\r\n", b"\n")
