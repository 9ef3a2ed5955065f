"""The exports, in the order of the help; one more is a file of its own and a line here."""

from collections.abc import Mapping

from tracin_dask.report.exports import csv, html, parquet, tsv
from tracin_dask.report.exports.base import Export

_ALL = (
    html.EXPORT,
    csv.EXPORT,
    tsv.EXPORT,
    parquet.EXPORT,
)
EXPORTS: Mapping[str, Export] = {export.name: export for export in _ALL}
"""By the name of its option."""
