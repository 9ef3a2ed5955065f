"""A result as a Parquet file: the rankings are its table, and the metadata of its schema holds the rest."""

import base64
import itertools
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracin_dask.errors import ResultError
from tracin_dask.places.place import Place
from tracin_dask.report.arrow import numbers_of
from tracin_dask.report.entries import long_table
from tracin_dask.report.format import Format, separate_file
from tracin_dask.report.group_file import write_groups
from tracin_dask.report.json import REMEDY, explained, from_dicts, refuse_newer, with_all_groups, with_groups
from tracin_dask.report.json_parts import PARTS, RANKINGS, name_of_value
from tracin_dask.report.result import InfluenceResult

KEY = b"tracin-dask result"
"""Under which the metadata holds what is not in the table: JSON, compressed, as text."""
COMMON = ("top_k", "learning_rate", "run")
"""What all test triples have in common."""


def write_parquet(result: InfluenceResult, place: Place) -> None:
    """Write a result, whole or not at all; all groups go to a separate file, first."""
    beside: Place | None = None
    if result.groups:
        beside = separate_file(place, "groups", ".parquet")
        write_groups(result, beside)
    tests = [with_groups(_beside_ranking(result, test), beside, test) for test in range(len(result.rankings))]
    about = {
        "common": {key: tests[0][key] for key in COMMON},
        "tests": [{key: value for key, value in test.items() if key not in COMMON} for test in tests],
    }
    table = long_table(result).replace_schema_metadata({KEY: _packed(about)})
    with place.writer() as file:
        pq.write_table(table, file, compression="zstd")


def read_parquet(place: Place, *, all_groups: bool = True) -> InfluenceResult:
    """Read a result; `all_groups`: also those of the separate file.

    Raises
    ------
    ResultError
        If this is no such file, a damaged one, or one that a newer version wrote.
    """
    table = _read_table(place)
    with explained(place):
        about = _unpacked(table.schema.metadata[KEY])
        refuse_newer(place, about["common"]["run"])
        contents = [about["common"] | test for test in about["tests"]]
        name = f"{name_of_value(contents)}s"
        contents = [one | {name: rows} for one, rows in zip(contents, _rows(table, len(contents)), strict=True)]
        result = from_dicts(contents)
    return with_all_groups(result, place.parent, contents) if all_groups else result


def _packed(about: dict[str, Any]) -> bytes:
    return base64.b85encode(zlib.compress(json.dumps(about, allow_nan=False).encode()))


def _unpacked(packed: bytes) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(zlib.decompress(base64.b85decode(packed)))
    except zlib.error as error:
        raise ValueError(f"metadata: {error}") from error
    return about


def _beside_ranking(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    """Give what JSON says about a test triple besides its ranking, which is in the table."""
    contents: dict[str, Any] = {}
    for part in PARTS:
        contents |= {} if part is RANKINGS else part.write(result, test_index)
    return contents


def _read_table(place: Place) -> pa.Table:
    try:
        with place.open() as opened, pq.ParquetFile(opened) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{place}: cannot be read as Parquet ({error}); {REMEDY}") from error
    if KEY not in (table.schema.metadata or {}):
        raise ResultError(
            f"{place}: a table without the rest of the result, which tracin-dask writes into its metadata; {REMEDY}"
        )
    return table


def _rows(table: pa.Table, num_tests: int) -> Sequence[list[dict[str, Any]]]:
    """Give the rows of each test triple."""
    if "test_index" not in table.column_names:
        return [table.to_pylist()]
    starts = np.searchsorted(numbers_of(table["test_index"]), np.arange(num_tests + 1)).tolist()
    return [table.slice(start, stop - start).to_pylist() for start, stop in itertools.pairwise(starts)]


FORMAT = Format(write=write_parquet, read=read_parquet)
