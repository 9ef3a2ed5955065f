"""What an export is: files that are written of a finished result, and the options that all exports share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from tracin_dask.places.place import Place
from tracin_dask.report.page.histogram import Histogram
from tracin_dask.report.result import InfluenceResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraColumn:
    """What is known of the listed training triples besides the result.

    Attributes
    ----------
    values
        For each ranking, a value for each of its training triples; null where it is not known. All have one type.
    csv_name
        The column's name in the files of `--csv`; None where these do not have it.
    is_truth
        Whether it says which training triples are known reasons: pages mark these.
    """

    values: tuple[pa.Array, ...]
    csv_name: str | None = None
    is_truth: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What exports are asked for.

    Attributes
    ----------
    raw_text
        Write text as it is, also where a spreadsheet would take it for a formula.
    train_self_influence
        Add the self-influence of every training triple to the files of `--csv`.
    columns
        Further columns, by their names in the long table.
    histogram
        Of all influences, for the pages.
    """

    raw_text: bool = False
    train_self_influence: bool = False
    columns: Mapping[str, ExtraColumn] = field(default_factory=dict)
    histogram: Histogram | None = None


def no_notes(_result: InfluenceResult, _options: ExportOptions) -> list[str]:
    """Say nothing."""
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Files that are written of a result.

    Attributes
    ----------
    name
        The name of its option: `csv` for `--csv`.
    help
        One line about it, for the help.
    uses
        What changes what it writes: fields of `ExportOptions`, or `hops` and `truth` for its columns.
    files
        Names the files that it will write into a folder, the one that a reader opens first at the end. Raises
        `ResultError` if it cannot write this result with these options.
    write
        Writes them, each whole or not at all, and gives them. Nothing has to stay of those that exist.
    notes
        What a reader should know of these files, in lines.
    """

    name: str
    help: str
    uses: frozenset[str] = frozenset()
    files: Callable[[InfluenceResult, Place, ExportOptions], list[Place]]
    write: Callable[[InfluenceResult, Place, ExportOptions], list[Place]]
    notes: Callable[[InfluenceResult, ExportOptions], list[str]] = no_notes
