"""The rankings of a result as text with commas or tabs: a line per test triple and training triple."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.places.place import Place
from tracin_dask.report.arrow import table_of
from tracin_dask.report.entries import entry_tables, rank_tables
from tracin_dask.report.format import Format, separate_file
from tracin_dask.report.groups import group_tables
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.text_table import write_text_table


def write_csv(result: InfluenceResult, place: Place, *, delimiter: str, suffix: str) -> None:
    """Write the rankings of all test triples, whole or not at all; groups and listed ranks go to separate files, first.

    Numbers have all their digits. A column for each checkpoint says what it adds, where that is known.
    """
    write = partial(write_text_table, delimiter=delimiter, raw_text=True)
    if result.groups:
        write(group_tables(result), separate_file(place, "groups", suffix))
    if result.ranks is not None:
        write(rank_tables(result, result.ranks), separate_file(place, "ranks", suffix))
    width = 0 if result.contributions is None else result.contributions[0].shape[1]
    write((flat_lists(table, width) for table in entry_tables(result)), place)


def flat_lists(table: pa.Table, width: int) -> pa.Table:
    """Give each number of a list, one per checkpoint, a column of its own."""
    columns: dict[str, pa.ChunkedArray] = {}
    for name in table.column_names:
        if pa.types.is_list(table[name].type):
            columns |= {f"{name}_{place + 1}": pc.list_element(table[name], place) for place in range(width)}
        else:
            columns[name] = table[name]
    return table_of(columns)


COMMAS = Format(write=partial(write_csv, delimiter=",", suffix=".csv"))
TABS = Format(write=partial(write_csv, delimiter="\t", suffix=".tsv"))
