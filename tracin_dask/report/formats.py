"""The formats of results, by the suffix of a file's name: writes and reads each; imports none before it is used."""

import importlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from tracin_dask.errors import ResultError
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of
from tracin_dask.places.target import is_stream

if TYPE_CHECKING:
    from tracin_dask.report.format import Format
    from tracin_dask.report.result import InfluenceResult

_HOMES = {
    ".json": "tracin_dask.report.json:FORMAT",
    ".csv": "tracin_dask.report.csv:COMMAS",
    ".tsv": "tracin_dask.report.csv:TABS",
    ".parquet": "tracin_dask.report.parquet:FORMAT",
}
"""Where each format lies: module and name."""
STREAM_SUFFIX = ".json"
"""The format of a pipe or of standard output whose name has no suffix."""
_ADDED: "dict[str, Format]" = {}


def register(suffix: str, added: "Format") -> None:
    """Add a format, or replace the one of this suffix: in this process, and not in a command."""
    _ADDED[suffix] = added


def suffixes(*, whole: bool = False, many: bool = False) -> list[str]:
    """Name the suffixes that files may have; those that can be read back whole, or that hold many test triples."""
    named = list(dict.fromkeys([*_HOMES, *_ADDED]))
    if whole:
        named = [suffix for suffix in named if _format(suffix).read is not None]
    return [suffix for suffix in named if _format(suffix).holds_many] if many else named


def refuse_unknown(path: AnyPath) -> None:
    """Refuse a file whose suffix no format has.

    Raises
    ------
    ResultError
        Naming those that there are.
    """
    suffix = suffix_of(path)
    if suffix not in suffixes():
        found = f"ends in {suffix}" if suffix else "has no suffix"
        raise ResultError(f"{path}: {found}, but the suffix chooses the format of a result: {_listed(suffixes())}")


def refuse_many(path: AnyPath, num_tests: int) -> None:
    """Refuse many test triples where a file takes one.

    Raises
    ------
    ResultError
        Naming the formats that take many.
    """
    if num_tests > 1 and not format_of(path).holds_many:
        raise ResultError(
            f"{path}: there are {num_tests:,} answers and a {suffix_of(path)} file takes one; write "
            f"{_listed(suffixes(many=True), 'a folder with one file per answer (--output-dir)')}"
        )


def suffix_of(path: AnyPath) -> str:
    """Give the end of a file's name, with the dot, in lower case; a pipe or an open file needs none."""
    place = place_of(path)
    local = place.local_path()
    if local is not None and not local.suffix and is_stream(local):
        return STREAM_SUFFIX
    return PurePosixPath(place.name).suffix.lower()


def format_of(path: AnyPath) -> "Format":
    """Choose the format by the suffix; raises as `refuse_unknown`."""
    refuse_unknown(path)
    return _format(suffix_of(path))


def write_result(result: "InfluenceResult", path: AnyPath) -> None:
    """Write a result to a file, in the format of its suffix, whole or not at all.

    Raises
    ------
    ResultError
        If no format has this suffix, or the file takes one test triple and the result has many.
    """
    refuse_many(path, len(result.rankings))
    place = place_of(path)
    place.parent.make_folder()
    format_of(place).write(result, place)


def read_result(path: AnyPath, *, all_groups: bool = True) -> "InfluenceResult":
    """Read the whole result of a run, from a file of `--output` or from a folder of `--output-dir`.

    Parameters
    ----------
    path
        A file or a folder.
    all_groups
        Read all groups of training triples, which lie in a file of their own; or else only the largest, which the
        result itself lists.

    Raises
    ------
    ResultError
        If there is no result, or it is damaged, incomplete, or written by a newer version.
    """
    from tracin_dask.report import folder  # noqa: PLC0415 - pyarrow is slow to import

    place = place_of(path)
    if place.is_folder():
        return folder.read_directory(place, all_groups=all_groups)
    if place.name == folder.SUMMARY:
        return folder.read_directory(place.parent, all_groups=all_groups)
    if not place.is_file():
        raise ResultError(f"{place}: no such file or folder")
    read = format_of(place).read
    if read is None:
        raise ResultError(
            f"{place}: a {suffix_of(place)} file holds the rankings only; read the result from "
            f"{_listed(suffixes(whole=True), 'a folder of --output-dir')}"
        )
    return read(place, all_groups=all_groups)


def _format(suffix: str) -> "Format":
    if suffix in _ADDED:
        return _ADDED[suffix]
    module, name = _HOMES[suffix].split(":")
    found: Format = getattr(importlib.import_module(module), name)
    return found


def _listed(names: list[str], last: str = "") -> str:
    """Name the suffixes, and what else there is."""
    *first, end = [*names, *([last] if last else [])]
    return f"{', '.join(first)} or {end}" if first else end
