"""One long table of all test triples: a row per test triple and training triple, with all that is known of both."""

from collections.abc import Iterator

import pyarrow as pa

from tracin_dask.places.place import Place
from tracin_dask.report.entries import entry_tables
from tracin_dask.report.exports.base import ExportOptions
from tracin_dask.report.result import InfluenceResult

STEM = "influences"


def long_tables(result: InfluenceResult, options: ExportOptions) -> Iterator[pa.Table]:
    """Give the rows of each test triple; further columns stand before the line of the training triple."""
    for index, table in enumerate(entry_tables(result)):
        place = table.schema.get_field_index("train_index")
        for name, column in reversed(list(options.columns.items())):
            table = table.add_column(place, name, column.values[index])  # noqa: PLW2901 - grows
        yield table


def files_with(suffix: str, _result: InfluenceResult, folder: Place, _options: ExportOptions) -> list[Place]:
    """Name the only file."""
    return [folder / f"{STEM}{suffix}"]
