"""The totals of groups of training triples: as tables on the terminal, and all of them as a Parquet file."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.errors import ConfigError
from tracin_dask.runs.group_influences import GroupInfluences
from tracin_dask.runs.result import InfluenceResult
from tracin_dask.triples.part import part_of

TOTALS_MEANING = "Sums over all training triples of a group; net: what speaks for and what against, together."


def group_tables(result: InfluenceResult, test_index: int = 0, *, rows: int = 10) -> RenderableType:
    """Show the largest groups of each grouping, at most `rows` of each."""
    tables = [_table(result, found, test_index, rows) for found in result.groups]
    return Group(*tables, Text(TOTALS_MEANING, style="dim"))


def write_groups(result: InfluenceResult, path: Path | str) -> None:
    """Write the groups of all test triples and groupings as a Parquet file, whole or not at all, and synced.

    A row is a test triple, a grouping and a group that has training triples: `test_index` and the ids `test_head`,
    `test_relation` and `test_tail` (null for self-influence), `group_by`, and what `GroupInfluences.table` gives.

    Raises
    ------
    ConfigError
        If the run had no groupings.
    """
    if not result.groups:
        raise ConfigError("the run added up no groups; ask for some with group_by")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    tables = _tables(result)
    first = next(tables)
    with part.open("wb") as file:
        with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _tables(result: InfluenceResult) -> Iterator[pa.Table]:
    """Give a table per test triple and grouping, so that only one is in memory."""
    for test_index in range(len(result.rankings)):
        triple = [None] * 3 if result.test_triples is None else result.test_triples[test_index].tolist()
        names = ("test_index", "test_head", "test_relation", "test_tail")
        for found in result.groups:
            table = found.table(test_index, result.run["rank_by"])
            size = len(table)
            test = {
                name: pa.repeat(pa.scalar(value, pa.int64()), size)
                for name, value in zip(names, [test_index, *triple], strict=True)
            }
            by = {"group_by": pa.repeat(found.grouping.name, size)}
            yield pa.table({**test, **by, **{name: table[name] for name in table.column_names}})


def _table(result: InfluenceResult, found: GroupInfluences, test_index: int, rows: int) -> Table:
    largest = found.table(test_index, result.run["rank_by"], most=rows).to_pylist()
    number = len(found.totals)
    title = f"Groups by {found.grouping.name}: {number:,}"
    if number > len(largest):
        title = f"Groups by {found.grouping.name}: the {len(largest)} largest of {number:,}"
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    table.add_column("#", justify="right")
    for column in ("net", "positive", "negative", "triples"):
        table.add_column(column, justify="right")
    table.add_column("group", overflow="fold")
    for place, group in enumerate(largest, start=1):
        sums = [f"{group[f'{side}_influence']:+.3e}" for side in ("net", "positive", "negative")]
        name = group["group_name"] or group["group_label"]
        table.add_row(str(place), *sums, f"{group['num_training_triples']:,}", Text(name))
    return table
