"""The totals of all groups as a Parquet file: `InfluenceResult.group_tables`, and back."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracin_dask.errors import ResultError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.arrow import numbers_of
from tracin_dask.report.groups import GroupInfluences, group_tables
from tracin_dask.report.result import InfluenceResult

KEY = b"tracin-dask groups"
"""Under which the file says of which run and of which test triples it is."""


def write_groups(result: InfluenceResult, path: AnyPath, tests: Sequence[int] | None = None) -> None:
    """Write `InfluenceResult.group_tables`, of some test triples or all, whole or not at all, and synced.

    Raises
    ------
    ConfigError
        If the run had no groupings.
    """
    place, tests = place_of(path), range(len(result.rankings)) if tests is None else tests
    tables = group_tables(result, tests)
    first = next(tables)
    about = {"run": dict(result.run), "test_indices": list(tests)}
    schema = first.schema.with_metadata({KEY: json.dumps(about).encode()})
    place.parent.make_folder()
    with place.writer() as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table.cast(schema), row_group_size=max(len(table), 1))


def read_groups(place: Place, run: Mapping[str, Any], tests: Sequence[int]) -> tuple[GroupInfluences, ...]:
    """Read the totals of some test triples, by the groupings of their run.

    Raises
    ------
    ResultError
        If the file is missing, damaged, or of another run.
    """
    try:
        with place.open() as opened, pq.ParquetFile(opened) as file:
            _refuse_another(place, file, run, tests)
            tables = dict(_tables(file, set(tests)))
            nothing = file.schema_arrow.empty_table()
        names = [grouping["group_by"] for grouping in run["groupings"]]
        return tuple(_grouping(name, [tables.get((test, name), nothing) for test in tests]) for name in names)
    except FileNotFoundError:
        raise ResultError(
            f"{place}: missing, but it has the totals of all groups of a result; put it back into the "
            "folder of the result, or read the result with all_groups=False to get the groups that it lists itself"
        ) from None
    except ResultError:
        raise
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise ResultError(f"{place}: no totals of groups, or damaged ones ({error}); run again to make them") from error


def _refuse_another(place: Place, file: pq.ParquetFile, run: Mapping[str, Any], tests: Sequence[int]) -> None:
    """Refuse a file of another run; the version of the schema is that of whoever reads.

    Raises
    ------
    ResultError
        If it is of another run or of other test triples.
    """
    metadata = file.schema_arrow.metadata or {}
    if KEY not in metadata:
        raise ResultError(f"{place}: no totals of groups that tracin-dask wrote; run again to make them")
    about = json.loads(metadata[KEY])
    if about["run"] | {"schema_version": 0} != {**run, "schema_version": 0} or set(tests) - set(about["test_indices"]):
        raise ResultError(
            f"{place}: has the groups of another result than the file that names it; put back the file written "
            "with it, or run again to make both"
        )


def _tables(file: pq.ParquetFile, tests: set[int]) -> Iterator[tuple[tuple[int, str], pa.Table]]:
    """Give each row group, which has one test triple's groups by one grouping, in the order of the groups."""
    for number in range(file.num_row_groups):
        test = file.read_row_group(number, columns=["test_index"])[0][0].as_py()
        if test in tests:
            table = file.read_row_group(number)
            yield (test, table["group_by"][0].as_py()), table.sort_by("group").combine_chunks()


def _grouping(name: str, tables: Sequence[pa.Table]) -> GroupInfluences:
    """Put the tables of all test triples side by side."""
    first = tables[0]
    positive, negative, net = (
        np.stack([numbers_of(table[f"{side}_influence"]) for table in tables])
        for side in ("positive", "negative", "net")
    )
    return GroupInfluences(
        group_by=name,
        num_groups=len(first),
        groups=numbers_of(first["group"]),
        labels=first["group_label"].combine_chunks(),
        names=first["group_name"].combine_chunks(),
        num_triples=numbers_of(first["num_training_triples"]),
        positive=positive,
        negative=negative,
        net=net,
    )
