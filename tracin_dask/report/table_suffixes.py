"""The formats of a table, by the suffix of its file's name; kept apart, because PyArrow is slow to import."""

from pathlib import PurePosixPath

from tracin_dask.errors import ResultError
from tracin_dask.places.place import Place

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".json")


def table_suffix(place: Place) -> str:
    """Give the suffix of a file for a table.

    Raises
    ------
    ResultError
        If no format has it.
    """
    suffix = PurePosixPath(place.name).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        found = f"ends in {suffix}" if suffix else "has no suffix"
        raise ResultError(
            f"{place}: {found}, but the suffix chooses the format of a table: {', '.join(TABLE_SUFFIXES)}"
        )
    return suffix
