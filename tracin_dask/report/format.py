"""What a format of results is: a form in which a result lies in one file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, runtime_checkable

from tracin_dask.places.place import Place
from tracin_dask.report.result import InfluenceResult


@runtime_checkable
class Read(Protocol):
    """Reads a result back from a file."""

    def __call__(self, place: Place, *, all_groups: bool = True) -> InfluenceResult:
        """Give the whole result, or, without `all_groups`, only the groups that the file itself lists."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A form in which a result lies in one file.

    Attributes
    ----------
    write
        Writes a result to a place, whole or not at all.
    read
        Reads it back; None where the file does not hold the whole result.
    holds_many
        Whether a file takes many test triples.
    """

    write: Callable[[InfluenceResult, Place], None]
    read: Read | None = None
    holds_many: bool = True


def separate_file(result: Place, what: str, suffix: str) -> Place:
    """Name the file for a part of a result that lies next to it: `why.groups.csv` for the groups of `why.csv`."""
    return result.parent / f"{PurePosixPath(result.name).stem}.{what}{suffix}"
