"""Tables as text: quoted where they must be, and without cells that a spreadsheet would execute."""

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.places.place import Place
from tracin_dask.report.arrow import table_of

_FORMULA = r"\A([=+@\t\r-])"
"""What begins a formula in a spreadsheet, or may hide one from a check."""
_ROW_END = "\r\n"


def write_text_table(tables: Iterable[pa.Table], place: Place, *, delimiter: str, raw_text: bool) -> None:
    """Write tables of the same columns one below the other, with a header, whole or not at all.

    Numbers have all their digits, and what is not known is empty. Text that begins with = + - @, a tab or a carriage
    return gets an apostrophe in front, unless `raw_text` is set.
    """
    parts = iter(tables)
    first = next(parts)
    shown = (table if raw_text else harmless(table) for table in itertools.chain([first], parts))
    rows = (row for table in shown for row in zip(*(column.to_pylist() for column in table.columns), strict=True))
    write_rows(first.column_names, rows, place, delimiter=delimiter)


def write_rows(header: Sequence[str], rows: Iterable[Iterable[object]], place: Place, *, delimiter: str) -> None:
    """Write rows below a header, whole or not at all, with quotes where they must be; None is an empty field."""
    with place.writer() as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(_UnixLines(text), delimiter=delimiter, lineterminator=_ROW_END)
        writer.writerow(header)
        writer.writerows(rows)
        text.flush()
        text.detach()  # the place closes the file


def harmless(table: pa.Table) -> pa.Table:
    """Put an apostrophe in front of every text that a spreadsheet would execute."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        is_text = pa.types.is_string(column.type)
        columns[name] = pc.replace_substring_regex(column, _FORMULA, r"'\1") if is_text else column
    return table_of(columns)


@dataclass(frozen=True, slots=True)
class _UnixLines:
    """Ends rows with a line feed; the writer of `csv` quotes a carriage return only if its rows end with one."""

    text: io.TextIOWrapper

    def write(self, row: str) -> int:
        return self.text.write(f"{row.removesuffix(_ROW_END)}\n")
