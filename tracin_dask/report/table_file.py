"""One table as a file: text with commas or tabs, Parquet, or JSON with what was asked."""

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracin_dask.places.place import Place
from tracin_dask.report.formats import suffix_of

DELIMITERS = {".csv": ",", ".tsv": "\t"}
ABOUT = b"tracin-dask prediction"
"""Under which the metadata of a Parquet file says how the table was made."""


def write_table(table: pa.Table, place: Place, about: Mapping[str, Any]) -> None:
    """Write a table whole or not at all; a missing number is an empty field or null. Text holds the table alone."""
    suffix = suffix_of(place)
    if suffix in DELIMITERS:
        data = _delimited(table, DELIMITERS[suffix])
    elif suffix == ".parquet":
        data = _parquet(table, about)
    else:
        data = (
            f"{json.dumps({**about, 'rows': _rows(table)}, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()
        )
    place.parent.make_folder()
    with place.writer() as file:
        file.write(data)


def _delimited(table: pa.Table, delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(row.values() for row in _rows(table))
    return text.getvalue().encode()


def _parquet(table: pa.Table, about: Mapping[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({ABOUT: json.dumps(about)}), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Give the rows; NaN is null, and a whole rank an integer."""
    return [{name: _plain(name, value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if name.endswith("_rank") and value.is_integer() else value
    return value
