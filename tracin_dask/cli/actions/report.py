"""Carries out `tracin-dask report`: reads a result and writes the exports that are asked for."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, cast

from tracin_dask.cli.actions.known import known_columns
from tracin_dask.cli.say import is_quiet, say, say_written
from tracin_dask.errors import ConfigError
from tracin_dask.places.explained import writing
from tracin_dask.places.place import Place
from tracin_dask.report.exports.base import Export, ExportOptions, ExtraColumn
from tracin_dask.report.exports.registry import EXPORTS
from tracin_dask.report.exports.write import write_exports
from tracin_dask.report.folder import SUMMARY
from tracin_dask.report.formats import read_result
from tracin_dask.report.json import explained
from tracin_dask.report.page.histogram import Histogram
from tracin_dask.report.result import InfluenceResult

if TYPE_CHECKING:
    from tracin_dask.cli.report import ReportFlags

MOST_HOPS = 3
FOLDER = "report"
_USED_FOR = {
    "raw_text": "raw_text",
    "train_self_influence": "train_self_influence",
    "train": "hops",
    "edges": "truth",
    "paths": "truth",
    "truth": "truth",
    "saved_scores": "histogram",
}
"""Options, and what each changes: see `Export.uses`."""


def write_report(path: Place, exports: Sequence[Export], flags: "ReportFlags") -> None:
    """Write exports of a result, and say what was written.

    Raises
    ------
    ConfigError
        If no export is asked for, or an option has no effect.
    ResultError
        If there is no result, files exist already, or an export cannot write this result.
    """
    _refuse_contradictions(exports, flags)
    result = read_result(path, all_groups=False)
    folder = flags["output_dir"] or default_folder(path)
    with explained(path):
        options = ExportOptions(
            raw_text=flags["raw_text"],
            train_self_influence=flags["train_self_influence"],
            columns=known_columns(result, flags) | _hops(result, flags),
            histogram=_histogram(result, flags),
        )
        with writing(folder, "the report", kept=lambda: "files that are complete stay"):
            written = list(write_exports(result, folder, exports, options, overwrite=flags["overwrite"]))
    for export, files in written:
        number = "" if len(files) == 1 else f" and {len(files) - 1:,} more file(s) in the same folder"
        if is_quiet():
            say_written(files[-1])
        say(f"wrote {files[-1]}{number} (--{export.name})")
        for note in export.notes(result, options):
            say(note)


def default_folder(path: Place) -> Place:
    """Name a folder in that of a result, or next to its file."""
    if path.is_folder():
        return path / FOLDER
    if path.name == SUMMARY:
        return path.parent / FOLDER
    return path.parent / f"{PurePath(path.name).stem}-{FOLDER}"


def _refuse_contradictions(exports: Sequence[Export], flags: "ReportFlags") -> None:
    names = [f"--{name}" for name in EXPORTS]
    if not exports:
        raise ConfigError(f"say what to write: {', '.join(names[:-1])} or {names[-1]}; several can be given")
    if flags["most_hops"] is not None and flags["train"] is None:
        raise ConfigError("--most-hops limits the distances in a training graph; give --train STORE, too")
    used = {field for export in exports for field in export.uses}
    for name, field in _USED_FOR.items():
        if cast("dict[str, object]", flags)[name] and field not in used:
            takers = [f"--{export.name}" for export in EXPORTS.values() if field in export.uses]
            raise ConfigError(
                f"--{name.replace('_', '-')} changes {' and '.join(takers)} only; give one of these, or leave it out"
            )


def _histogram(result: InfluenceResult, flags: "ReportFlags") -> Histogram | None:
    """Count all influences, where they were saved."""
    if flags["saved_scores"] is None:
        return None
    from tracin_dask.cli.actions.saved_histogram import histogram_of  # noqa: PLC0415 - zarr is slow to import

    return histogram_of(result, flags["saved_scores"])


def _hops(result: InfluenceResult, flags: "ReportFlags") -> dict[str, ExtraColumn]:
    """Count the hops in the training graph."""
    if flags["train"] is None:
        return {}
    from tracin_dask.cli.actions.hops import hop_columns  # noqa: PLC0415 - zarr is slow to import

    return hop_columns(result, flags["train"], most_hops=flags["most_hops"] or MOST_HOPS)
