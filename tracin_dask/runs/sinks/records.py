"""Records of finished groups of rows: each is on disk before it counts, and a restarted run reads them."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tracin_dask.errors import ResumeError
from tracin_dask.places.files import exists, read_bytes, write_bytes
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import Counters, Reductions, Scored, bytes_of

_RUN_FILE = "run.json"
_RECORDS = "rows-*.npz"
_OF = "/"
"""Separates the name of a reduction from the name of an array of its outcome."""


class Records:
    """The folder with the finished groups of one run."""

    def __init__(
        self, directory: AnyPath, identity: Mapping[str, Any], reductions: Reductions, *, restart: bool = False
    ) -> None:
        """Open or make the folder.

        `identity` holds, as JSON values, everything that the records depend on (`record_identity`).

        Raises
        ------
        ResumeError
            If the folder holds groups of a run with another identity; the message names the differences.
        """
        self._directory, self._reductions = place_of(directory), reductions
        self._directory.make_folder()
        if restart:
            _delete_files(self._directory)
        known = self._directory / _RUN_FILE
        if not self.is_empty:
            recorded = json.loads(read_bytes(known)) if exists(known) else {}
            self._refuse_another(recorded, json.loads(json.dumps(identity)))
        else:
            write_bytes(known, json.dumps(identity, indent=1, sort_keys=True).encode())

    @property
    def is_empty(self) -> bool:
        """Whether no group is finished."""
        return is_empty(self._directory)

    def finished(self) -> Iterator[tuple[Rows, Scored]]:
        """Read the finished groups.

        Raises
        ------
        ResumeError
            If a record is damaged, or two hold the same rows.
        """
        recorded_until = 0
        for path in sorted(self._directory.find(_RECORDS), key=str):
            try:
                with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
                    rows, scored = _unpack(arrays, self._reductions)
            except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile) as error:
                raise ResumeError(f"{path}: damaged record ({error}); delete it to compute its rows again") from error
            if rows[0] < recorded_until:
                raise ResumeError(
                    f"{path}: rows before {recorded_until:,} are also in another record: two runs wrote to this "
                    "folder at the same time; start only one, and delete this record to compute its rows again"
                )
            recorded_until = rows[1]
            yield rows, scored

    def write(self, rows: Rows, scored: Scored) -> None:
        """Write the record of a finished group; it is on disk when this returns."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **_pack(rows, scored, self._reductions))
        write_bytes(self._directory / f"rows-{rows[0]:012d}-{rows[1]:012d}.npz", buffer.getvalue())

    def _refuse_another(self, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        names = sorted(known.keys() | wanted.keys())
        other = [
            f"{name.replace('_', ' ')}: {known.get(name)} then, {wanted.get(name)} now"
            for name in names
            if known.get(name) != wanted.get(name)
        ]
        if other:
            raise ResumeError(
                f"{self._directory} holds the finished part of another run ({'; '.join(other)}); "
                "start that run again to continue it, or pass --restart to discard it"
            )


def is_empty(directory: AnyPath) -> bool:
    """Check whether a folder holds no finished group."""
    return not place_of(directory).find(_RECORDS)


def discard(directory: AnyPath) -> None:
    """Delete the records of a run and their folder, after its result is written."""
    folder = place_of(directory)
    _delete_files(folder)
    folder.delete()


def _delete_files(folder: Place) -> None:
    for pattern in (f"{_RECORDS}*", f"{_RUN_FILE}*"):
        for file in folder.find(pattern):
            file.delete()


def _pack(rows: Rows, scored: Scored, reductions: Reductions) -> dict[str, Any]:
    about = {"rows": rows, "device": scored.device, "precision": scored.precision, "counters": asdict(scored.counters)}
    packed = {"about": np.array(json.dumps(about))}
    for one in reductions:
        packed |= {f"{one.name}{_OF}{name}": array for name, array in one.pack(scored.kept[one.name]).items()}
    return packed


def _unpack(arrays: Mapping[str, np.ndarray], reductions: Reductions) -> tuple[Rows, Scored]:
    about = json.loads(str(arrays["about"]))
    by_name: dict[str, dict[str, np.ndarray]] = {one.name: {} for one in reductions}
    for key in arrays.keys() - {"about"}:
        name, _, array = key.partition(_OF)
        by_name[name][array] = arrays[key]
    kept = {one.name: one.unpack(by_name[one.name]) for one in reductions}
    scored = Scored(
        kept=kept,
        kept_bytes=bytes_of(reductions, kept),
        counters=Counters(**about["counters"]),
        device=about["device"],
        precision=about["precision"],
    )
    return (about["rows"][0], about["rows"][1]), scored
