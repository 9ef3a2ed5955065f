"""The files of an evaluation: `evaluation.json`, and a table of all test triples as Parquet and CSV."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tracin_dask.errors import ResultError
from tracin_dask.places.files import read_bytes, write_json_file
from tracin_dask.places.place import Place
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.truth.evaluation import Evaluation
from tracin_dask.report.truth.known import KnownIds
from tracin_dask.report.truth.means import METHOD
from tracin_dask.report.truth.measures import MEASURES, names_of_measures
from tracin_dask.report.truth.places import ORDERS
from tracin_dask.report.truth.values import DEFINITIONS, Truth

SUMMARY, TABLE = "evaluation.json", "per_test_triple"
FORMAT, FORMAT_VERSION = "tracin-dask evaluation", 1
REASONS = "not_defined"


def write_evaluation(
    evaluation: Evaluation, result: InfluenceResult, folder: Place, contents: Mapping[str, Any]
) -> list[Place]:
    """Write the three files, each whole or not at all; those of an earlier evaluation are replaced.

    Raises
    ------
    ResultError
        If the folder has an `evaluation.json` of something else.
    """
    refuse_foreign(folder)
    folder.make_folder()
    table = per_test_table(evaluation, result)
    parquet, text, summary = folder / f"{TABLE}.parquet", folder / f"{TABLE}.csv", folder / SUMMARY
    with parquet.writer() as file:
        pq.write_table(table, file)
    with text.writer() as file:
        pa_csv.write_csv(table, file)
    write_json_file(summary, contents)
    return [summary, parquet, text]


def refuse_foreign(folder: Place) -> None:
    """Refuse a folder whose `evaluation.json` is something else; raises as `write_evaluation`."""
    summary = folder / SUMMARY
    if not summary.is_file():
        return
    try:
        found = json.loads(read_bytes(summary))
    except ValueError:
        found = None
    if not (isinstance(found, dict) and found.get("format") == FORMAT):
        raise ResultError(
            f"{summary}: is no evaluation of tracin-dask, and stays; choose another folder (--output-dir)"
        )


def to_dict(evaluation: Evaluation, result: InfluenceResult, truth: Truth, known: KnownIds) -> dict[str, Any]:
    """Give all of an evaluation as JSON holds it: definitions, seeds, counts, hashes, means and every test triple."""
    settings = evaluation.settings
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "order": {"name": evaluation.order, "meaning": ORDERS[evaluation.order], "run": result.run["rank_by"]},
        "strict": settings.strict,
        "seed": settings.seed,
        "permutations": settings.permutations,
        "interval": METHOD,
        "num_test_triples": len(result.rankings),
        "top_k": result.top_k,
        "truth": _about(truth),
        "unmatched": known.unmatched.to_dict(),
        "definitions": {
            "columns": {column: DEFINITIONS[column] for column in evaluation.columns},
            "measures": MEASURES,
        },
        "overall": [asdict(one) for one in evaluation.overall],
        "per_test_triple": [asdict(row) for row in evaluation.rows],
    }


def _about(truth: Truth) -> dict[str, Any]:
    """State the files of known explanations, with what they hold."""
    about: dict[str, Any] = {}
    if truth.edges is not None:
        about["edges"] = _file(truth.edges) | {"num_edges": len(truth.edges.triples)}
    if truth.paths is not None:
        paths = truth.paths
        about["paths"] = _file(paths) | {"num_paths": len(paths.paths), "num_pairs": paths.num_pairs}
    if truth.own is not None:
        own = truth.own
        sizes = {"num_for_all": len(own.everywhere), "num_for_one": sum(map(len, own.of_test.values()))}
        about["own"] = _file(own) | sizes | {"num_test_triples": len(own.of_test)}
    return about


def _file(known: Any) -> dict[str, Any]:  # noqa: ANN401 - edges, paths or own truth
    return {} if known.file is None else asdict(known.file)


def per_test_table(evaluation: Evaluation, result: InfluenceResult) -> pa.Table:
    """Give a row for each test triple, column of truth and ranking; what is not defined is null, with the reason."""
    names = names_of_measures(evaluation.hits)
    columns: dict[str, list[Any]] = {}
    for row in evaluation.rows:
        about = asdict(row)
        numbers, reasons = about.pop("numbers"), about.pop(REASONS)
        known = {"test_index": about.pop("test_index")} | _asked(result, row.test_index) | about
        known |= {name: numbers.get(name) for name in names}
        known[REASONS] = "; ".join(f"{name}: {why}" for name, why in reasons.items()) or None
        for name, value in known.items():
            columns.setdefault(name, []).append(value)
    floats = {name: pa.array(columns[name], pa.float64()) for name in names}
    return pa.table({name: floats.get(name, pa.array(values)) for name, values in columns.items()})


def _asked(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    """Name the test triple, or the set of them."""
    if result.test_triples is None:
        return {}
    if result.sets is not None:
        return {"test_set": result.sets.names[test_index]}
    described = result.labels.describe(result.question(test_index)[0])
    return {f"test_{role}_label": described[f"{role}_label"] for role in ("head", "relation", "tail")}
