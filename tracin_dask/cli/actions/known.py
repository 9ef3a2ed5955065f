"""What is known of the training triples of a result, from the files that options name."""

import pyarrow as pa

from tracin_dask.cli.options.truth import TruthFlags
from tracin_dask.report.exports.base import ExtraColumn
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.truth.columns import known_of, truth_columns
from tracin_dask.report.truth.edges import read_edges
from tracin_dask.report.truth.own import read_own_truth
from tracin_dask.report.truth.paths import read_paths
from tracin_dask.report.truth.values import Truth

CSV_NAMES = {
    "is_ground_truth": "IsGroundTruth",
    "in_path": "In_path",
    "on_specific_path": "On_specific_path",
    "is_true": "IsTrue",
}
"""Columns of truth, and what the files of `--csv` call them."""
REASONS = ("is_ground_truth", "on_specific_path", "is_true")
"""The columns that make a training triple a known reason; `in_path` holds of too many."""


def read_truth(options: TruthFlags) -> Truth:
    """Read the files that are given.

    Raises
    ------
    TruthError
        If one cannot be read.
    """
    return Truth(
        edges=None if options["edges"] is None else read_edges(options["edges"]),
        paths=None if options["paths"] is None else read_paths(options["paths"]),
        own=None if options["truth"] is None else read_own_truth(options["truth"]),
    )


def known_columns(result: InfluenceResult, options: TruthFlags) -> dict[str, ExtraColumn]:
    """Say of every listed training triple what is known; no columns without files. Raises as `read_truth`."""
    if not any(options[name] for name in ("edges", "paths", "truth")):
        return {}
    known = known_of(result, read_truth(options))
    found = [truth_columns(result, known, index) for index in range(len(result.rankings))]
    return {
        name: ExtraColumn(
            values=tuple(pa.array(of_one[name].tolist(), pa.bool_()) for of_one in found),
            csv_name=CSV_NAMES.get(name),
            is_truth=name in REASONS,
        )
        for name in found[0]
    }
