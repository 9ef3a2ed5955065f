"""`--csv`: the files of TiePin's `batch_tracin_with_filtering.py`, a table per test triple and a summary.

The columns and the keys are those of that program. Its tables have no place for a set of test triples or for another
tail, so results with these are refused.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ResultError
from tracin_dask.places.files import exists, read_bytes, write_json_file
from tracin_dask.places.place import Place
from tracin_dask.report.arrow import number_array, repeated, table_of
from tracin_dask.report.exports.base import Export, ExportOptions
from tracin_dask.report.exports.file_names import file_stem
from tracin_dask.report.labels import ROLES
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.text_table import write_text_table

SUMMARY = "batch_tracin_summary.json"
_PARTS = {"head": "Head", "relation": "Rel", "tail": "Tail"}
_PLAIN = {"explain": "loss", "normalize": "none", "preconditioner": "none", "curvature": "none"}
"""The settings with which an influence is the one that TiePin computes."""


def files(result: InfluenceResult, folder: Place, options: ExportOptions) -> list[Place]:
    """Name a table for each test triple, and the summary.

    Raises
    ------
    ResultError
        If the answers are not about single test triples, or the result lacks a column that is asked for.
    """
    _refuse_other_questions(result)
    if options.train_self_influence and result.self_influences is None:
        raise ResultError(f"the result has no self-influences; {_remedy(result)}, or leave --train-self-influence out")
    return [*(folder / f"{stem}_tracin.csv" for stem in _stems(result)), folder / SUMMARY]


def write(result: InfluenceResult, folder: Place, options: ExportOptions) -> list[Place]:
    """Write the tables, and then the summary; those of an earlier summary go first. Raises as `files`."""
    *tables, summary = files(result, folder, options)
    for earlier in list(_earlier(summary)):
        earlier.delete()
    for index, place in enumerate(tables):
        table = triple_table(result, index, options)
        write_text_table([table], place, delimiter=",", raw_text=options.raw_text)
    write_json_file(summary, _summary(result, tables))
    return [*tables, summary]


def triple_table(result: InfluenceResult, index: int, options: ExportOptions) -> pa.Table:
    """Give the table of one test triple: 14 columns, and those that options add."""
    ranking, own = result.rankings[index], result.self_influences
    size = len(ranking)
    test = _described(result, np.array([result.question(index)[0]]), "Test")
    unknown = pa.nulls(1, pa.float64())
    columns = {name: repeated(column, size) for name, column in test.items()}
    columns |= _described(result, ranking.triples, "Train")
    columns["TracInScore"] = number_array(ranking.influence)
    columns["SelfInfluence"] = repeated(unknown if own is None else number_array(own.test[index : index + 1]), size)
    if options.train_self_influence and own is not None:
        columns["TrainSelfInfluence"] = number_array(own.train[index])
    for column in options.columns.values():
        if column.csv_name is not None:
            columns[column.csv_name] = column.values[index]
    return table_of(columns)


def notes(result: InfluenceResult, _options: ExportOptions) -> list[str]:
    """Say what TracInScore is, where it is not the plain one, and why SelfInfluence is empty."""
    settings = [f"{name} {result.run[name]}" for name, usual in _PLAIN.items() if result.run.get(name, usual) != usual]
    lines = []
    if settings:
        lines.append(f"TracInScore is the influence as the run computed it: {', '.join(settings)}")
    if result.self_influences is None:
        lines.append(f"SelfInfluence is empty, because the run did not compute it; {_remedy(result)}")
    return lines


def _remedy(result: InfluenceResult) -> str:
    if result.run.get("curvature") == "landmarks":
        return "with curvature landmarks there is none; curvature rows has one"
    return "run again with --also-self-influence"


def _refuse_other_questions(result: InfluenceResult) -> None:
    found = None
    if result.test_triples is None:
        found = "self-influences (--mode self)"
    elif result.sets is not None:
        found = "sets of test triples (--together)"
    elif result.contrast_tails is not None:
        found = "one tail against another (--contrast)"
    if found is not None:
        raise ResultError(
            f"--csv writes a table for each test triple, and this result is about {found}, for which its columns have "
            "no place; choose --tsv or --parquet"
        )


def _described(result: InfluenceResult, triples: Int[ndarray, "row 3"], side: str) -> dict[str, pa.Array]:
    """Give labels, and readable names or else the labels again."""
    known = result.labels.columns(triples)
    columns: dict[str, pa.Array] = {}
    for role in ROLES:
        label = known[f"{role}_label"]
        name = known.get(f"{role}_name")
        columns[f"{side}{_PARTS[role]}"] = label
        columns[f"{side}{_PARTS[role]}_label"] = label if name is None else pc.coalesce(name, label)
    return columns


def _labels(result: InfluenceResult, index: int) -> dict[str, str]:
    described = result.labels.describe(result.question(index)[0])
    return {role: str(described[f"{role}_label"]) for role in ROLES}


def _stems(result: InfluenceResult) -> Iterator[str]:
    for index in range(len(result.rankings)):
        labels = _labels(result, index)
        yield file_stem(index, labels["head"], labels["tail"])


def _summary(result: InfluenceResult, tables: list[Place]) -> dict[str, Any]:
    """Describe the tables; nothing is filtered into a file before, and nothing can have failed."""
    listed = [
        {
            "index": index,
            "triple": _labels(result, index),
            "base_name": stem,
            "filtering_success": True,
            "tracin_success": True,
            "filtered_train_file": None,
            "output_csv": str(table),
        }
        for index, (stem, table) in enumerate(zip(_stems(result), tables, strict=True))
    ]
    return {
        "total_triples": len(listed),
        "successful": len(listed),
        "failed_filtering": 0,
        "failed_tracin": 0,
        "skipped": 0,
        "filter_method": ", ".join(result.run.get("masks", ())) or "none",
        "results": listed,
    }


def _earlier(summary: Place) -> Iterator[Place]:
    """Find what an earlier summary lists in its folder, and the summary itself, which goes first."""
    if not exists(summary):
        return
    stems: list[str] = []
    with contextlib.suppress(ValueError, KeyError, TypeError):  # of another program: it is replaced, and nothing else
        stems = [str(one["base_name"]) for one in json.loads(read_bytes(summary))["results"]]
    yield summary
    named = {f"{stem}_tracin.csv" for stem in stems}
    yield from (file for file in summary.parent.find("triple_*_tracin.csv") if file.name in named)


EXPORT = Export(
    name="csv",
    help=f"A CSV file for each test triple, triple_NNN_HEAD_TAIL_tracin.csv, and {SUMMARY}, as TiePin writes them.",
    uses=frozenset({"raw_text", "train_self_influence", "truth"}),
    files=files,
    write=write,
    notes=notes,
)
