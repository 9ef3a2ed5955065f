"""Carries out `tracin-dask report`: reads a result and writes the exports that are asked for."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError
from tracin_dask.places.explained import writing
from tracin_dask.places.place import Place
from tracin_dask.report.exports.base import Export, ExportOptions, ExtraColumn
from tracin_dask.report.exports.registry import EXPORTS
from tracin_dask.report.exports.write import write_exports
from tracin_dask.report.folder import SUMMARY
from tracin_dask.report.formats import read_result
from tracin_dask.report.json import explained
from tracin_dask.report.result import InfluenceResult

if TYPE_CHECKING:
    from tracin_dask.cli.report import ReportFlags

MOST_HOPS = 3
FOLDER = "report"
_USED_FOR = {"--raw-text": "raw_text", "--train-self-influence": "train_self_influence", "--train": "columns"}
"""Options, and the field of `ExportOptions` that each sets."""


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
            columns=_columns(result, flags),
        )
        with writing(folder, "the report", kept=lambda: "files that are complete stay"):
            written = list(write_exports(result, folder, exports, options, overwrite=flags["overwrite"]))
    for export, files in written:
        number = "" if len(files) == 1 else f" and {len(files) - 1:,} more file(s) in the same folder"
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
    given = {"--raw-text": flags["raw_text"], "--train": flags["train"]}
    given["--train-self-influence"] = flags["train_self_influence"]
    for option, value in given.items():
        if value and _USED_FOR[option] not in used:
            takers = [f"--{name}" for name, export in EXPORTS.items() if _USED_FOR[option] in export.uses]
            raise ConfigError(f"{option} changes {' and '.join(takers)} only; give one of these, or leave it out")


def _columns(result: InfluenceResult, flags: "ReportFlags") -> dict[str, ExtraColumn]:
    """Compute what is not in the result itself."""
    if flags["train"] is None:
        return {}
    from tracin_dask.cli.actions.hops import hop_columns  # noqa: PLC0415 - zarr is slow to import

    return hop_columns(result, flags["train"], most_hops=flags["most_hops"] or MOST_HOPS)
