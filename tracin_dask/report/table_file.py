"""A table as a file, in the format of the suffix of its name."""

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracin_dask.errors import ResultError
from tracin_dask.places.files import write_json_file
from tracin_dask.places.place import Place


def write_table(table: pa.Table, place: Place) -> None:
    """Write a table, whole or not at all. In text with commas or tabs, a list is a JSON array.

    Raises
    ------
    ResultError
        If no format has the suffix of the place.
    """
    refuse_other_suffixes(place)
    place.parent.make_folder()
    _FORMATS[_suffix(place)](table, place)


def refuse_other_suffixes(place: Place) -> None:
    """Refuse a file whose suffix no format has; raises as `write_table`."""
    if _suffix(place) not in _FORMATS:
        found = f"ends in {_suffix(place)}" if _suffix(place) else "has no suffix"
        raise ResultError(
            f"{place}: {found}, but the suffix chooses the format of a table: {', '.join(TABLE_SUFFIXES)}"
        )


def _suffix(place: Place) -> str:
    return PurePosixPath(place.name).suffix.lower()


def _write_text(table: pa.Table, place: Place, *, delimiter: str) -> None:
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    with place.writer() as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(zip(*columns, strict=True))
        text.flush()
        text.detach()  # the place closes the file


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _write_parquet(table: pa.Table, place: Place) -> None:
    with place.writer() as file:
        pq.write_table(table, file, compression="zstd")


def _write_rows(table: pa.Table, place: Place) -> None:
    write_json_file(place, table.to_pylist())


_FORMATS: dict[str, Callable[[pa.Table, Place], None]] = {
    ".csv": partial(_write_text, delimiter=","),
    ".tsv": partial(_write_text, delimiter="\t"),
    ".parquet": _write_parquet,
    ".json": _write_rows,
}
TABLE_SUFFIXES = tuple(_FORMATS)
