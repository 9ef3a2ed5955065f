"""Writes the exports that are asked for: nothing unless all of them can be written."""

from collections.abc import Iterator, Sequence

from tracin_dask.errors import ResultError
from tracin_dask.places.files import exists, locked_folder
from tracin_dask.places.place import Place
from tracin_dask.report.exports.base import Export, ExportOptions
from tracin_dask.report.result import InfluenceResult


def write_exports(
    result: InfluenceResult, folder: Place, exports: Sequence[Export], options: ExportOptions, *, overwrite: bool
) -> Iterator[tuple[Export, list[Place]]]:
    """Write exports into a folder, which is made if it is missing; gives each with its files.

    Raises
    ------
    ResultError
        If files exist and are not to be overwritten, or an export cannot write this result.
    BusyError
        If another process writes into this folder.
    """
    files = [file for export in exports for file in export.files(result, folder, options)]
    refuse_existing(files, folder, overwrite=overwrite)
    folder.make_folder()
    with locked_folder(folder):
        for export in exports:
            yield export, export.write(result, folder, options)


def refuse_existing(files: Sequence[Place], folder: Place, *, overwrite: bool) -> None:
    """Refuse files that exist, unless they are to be overwritten.

    Raises
    ------
    ResultError
        Naming one of them.
    """
    found = [] if overwrite else [file for file in files if exists(file)]
    if found:
        raise ResultError(
            f"{folder}: {len(found):,} of the files exist already, e.g. {found[0].name}; choose another --output-dir, "
            "or pass --overwrite to replace them"
        )
