"""A result as JSON: an object per test triple, and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tracin_dask.errors import ResultError, TracInDaskError
from tracin_dask.places.files import read_bytes, write_json_file
from tracin_dask.places.place import Place
from tracin_dask.report.format import Format, separate_file
from tracin_dask.report.group_file import read_groups, write_groups
from tracin_dask.report.json_parts import PARTS, Contents
from tracin_dask.report.result import SCHEMA_VERSION, InfluenceResult

ALL_GROUPS = "all_groups"
"""The key under which a result names the file with the totals of all groups, and the `test_index` of its rows there."""
REMEDY = "give a file that `tracin-dask run --output` wrote, or a folder of --output-dir"


def to_dict(result: InfluenceResult, test_index: int = 0) -> dict[str, Any]:
    """Give one test triple's result in the shape of its JSON file."""
    contents: dict[str, Any] = {}
    for part in PARTS:
        contents |= part.write(result, test_index)
    return contents


def from_dicts(contents: Sequence[Contents]) -> InfluenceResult:
    """Put the result together again from the objects of all its test triples."""
    found: dict[str, Any] = {}
    for part in PARTS:
        found |= part.read(contents)
    return InfluenceResult(**found)


def write_json(result: InfluenceResult, place: Place, test_index: int = 0) -> None:
    """Write one test triple's result, whole or not at all; all its groups go to a separate file, first."""
    beside: Place | None = None
    if result.groups:
        beside = separate_file(place, "groups", ".parquet")
        write_groups(result, beside, tests=[test_index])
    write_json_file(place, with_groups(to_dict(result, test_index), beside, test_index))


def read_json(place: Place, *, all_groups: bool = True) -> InfluenceResult:
    """Read one test triple's result; `all_groups`: also those of the separate file.

    Raises
    ------
    ResultError
        If this is no such file, a damaged one, or one that a newer version wrote.
    """
    contents = read_contents(place)
    with explained(place):
        result = from_dicts([contents])
    return with_all_groups(result, place.parent, [contents]) if all_groups else result


def with_groups(contents: dict[str, Any], beside: Place | None, test_index: int) -> dict[str, Any]:
    """Name the file that has all groups, before what is said about the run."""
    if beside is None:
        return contents
    run = contents.pop("run")
    return contents | {ALL_GROUPS: {"file": beside.name, "test_index": test_index}, "run": run}


def with_all_groups(result: InfluenceResult, folder: Place, contents: Sequence[Contents]) -> InfluenceResult:
    """Replace the groups that the objects list by all of them, if the objects name a file that has them.

    Raises
    ------
    ResultError
        If the file is missing, damaged, or of another result.
    """
    named = [one[ALL_GROUPS] for one in contents if ALL_GROUPS in one]
    if not named:
        return result
    place = folder / named[0]["file"]
    return replace(result, groups=read_groups(place, result.run, [one["test_index"] for one in named]))


def read_contents(place: Place) -> dict[str, Any]:
    """Read an object that says with what version it was written.

    Raises
    ------
    ResultError
        If the file is missing, no JSON, not from this package, or from a newer version.
    """
    try:
        contents = json.loads(read_bytes(place))
    except OSError as error:
        raise ResultError(f"{place}: cannot be read ({error.strerror}); {REMEDY}") from error
    except ValueError as error:
        raise ResultError(f"{place}: no JSON, or a damaged file ({error}); {REMEDY}") from error
    with explained(place):
        refuse_newer(place, contents["run"])
    found: dict[str, Any] = contents
    return found


def refuse_newer(place: Place, run: Mapping[str, Any]) -> None:
    """Refuse what a newer version wrote.

    Raises
    ------
    ResultError
        Naming both versions.
    """
    version = int(run["schema_version"])
    if version > SCHEMA_VERSION:
        raise ResultError(
            f"{place}: schema version {version}, written by tracin-dask {run.get('tracin_dask_version')}; this one "
            f"reads up to version {SCHEMA_VERSION}: install a newer tracin-dask"
        )


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Say of which file it is that something is missing in an object, or has the wrong type.

    Raises
    ------
    ResultError
        Naming the file and what is wrong.
    """
    try:
        yield
    except KeyError as error:
        raise ResultError(
            f"{place}: no result of tracin-dask, or a damaged one: {error} is missing; {REMEDY}"
        ) from error
    except TracInDaskError:
        raise
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ResultError(f"{place}: no result of tracin-dask, or a damaged one ({error}); {REMEDY}") from error


FORMAT = Format(write=write_json, read=read_json, holds_many=False)
