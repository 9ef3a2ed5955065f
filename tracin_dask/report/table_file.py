"""A table as a file, in the format of the suffix of its name."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracin_dask.identity import Json
from tracin_dask.places.files import write_json_file
from tracin_dask.places.place import Place
from tracin_dask.report.table_suffixes import table_suffix
from tracin_dask.report.text_table import write_rows

DELIMITERS = {".csv": ",", ".tsv": "\t"}
ABOUT = b"tracin-dask"
"""Under which the metadata of a Parquet file says how the table was made."""


def write_table(table: pa.Table, place: Place, about: Mapping[str, Json] | None = None) -> None:
    """Write a table, whole or not at all.

    What is not known, NaN too, is an empty field or null. In text with commas or tabs, a list is a JSON array.
    `about` says how the table was made: in the metadata of Parquet, and in JSON, which is an object with `rows` then.

    Raises
    ------
    ResultError
        If no format has the suffix of the place.
    """
    suffix = table_suffix(place)
    place.parent.make_folder()
    if suffix == ".parquet":
        _write_parquet(table, place, about)
    elif suffix == ".json":
        rows = _rows(table)
        write_json_file(place, rows if about is None else {**about, "rows": rows})
    else:
        cells = (map(_cell, row.values()) for row in _rows(table))
        write_rows(table.column_names, cells, place, delimiter=DELIMITERS[suffix])


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _write_parquet(table: pa.Table, place: Place, about: Mapping[str, Json] | None) -> None:
    described = table if about is None else table.replace_schema_metadata({ABOUT: json.dumps(about)})
    with place.writer() as file:
        pq.write_table(described, file, compression="zstd")


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Give the rows; NaN is null, and a whole rank an integer."""
    return [{name: _plain(name, value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if name.endswith("_rank") and value.is_integer() else value
    return value
