"""A digest of the source code that computes scores: finished work is never continued by another engine."""

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from tracin_dask.errors import ResumeError

SCORING_SOURCES = ("influence", "models", "runs/inputs", "runs/sinks", "runs/work", "triples", "turn.py")
"""What reads triples, models, groups and masks, computes influences, and writes down what is kept of them."""


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
    for part in SCORING_SOURCES:
        sources = dict(_sources(package.joinpath(*part.split("/")), part))
        if not sources:
            raise ResumeError(
                f"{package} has no source files (.py) in {part}, so finished work cannot be tied to the code that "
                "computed it; install tracin-dask with its sources, or run without a record directory and save_scores"
            )
        for name in sorted(sources):
            digest.update(f"{name}\n{len(sources[name])}\n".encode() + sources[name])
    return digest.hexdigest()


def _sources(found: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """Give a source file, or those below a folder, by their paths in the package, with the newlines of Unix."""
    if found.is_dir():
        for entry in found.iterdir():
            yield from _sources(entry, f"{name}/{entry.name}")
    elif found.is_file() and name.endswith(".py"):
        yield name, found.read_bytes().replace(b"\r\n", b"\n")
