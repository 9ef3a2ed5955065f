"""Records of finished groups of rows: each is on disk before it counts, and a restarted run reads them."""

import errno
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tracin_dask.errors import ResumeError
from tracin_dask.identity import differences
from tracin_dask.places.explained import WriteError, why, writing
from tracin_dask.places.files import exists, locked_folder, read_bytes, write_bytes
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import Counters, Reductions, Scored, bytes_of

_RUN_FILE = "run.json"
_RECORDS = "rows-*.npz"
_IDENTITY = "identity"
"""Under which each record has the digest of its run's identity."""
_WHAT = "the records of finished rows"
NOTHING_KEPT = "nothing is kept: the same command starts from the beginning"
_DAMAGED = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What reading any file as a record may raise, with errors of archives."""
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
        WriteError
            If the folder cannot be written.
        """
        self._directory, self._reductions = place_of(directory), reductions
        text = json.dumps(identity, indent=1, sort_keys=True)
        self._identity = hashlib.sha256(text.encode()).hexdigest()
        with writing(self._directory, _WHAT):
            self._directory.make_folder()
            if restart:
                _delete_files(self._directory)
            if self.is_empty:
                write_bytes(self._directory / _RUN_FILE, text.encode())
        if not self.is_empty:
            self._refuse_another(_read_identity(self._directory / _RUN_FILE), json.loads(text))

    @property
    def is_empty(self) -> bool:
        """Whether no group is finished."""
        return is_empty(self._directory)

    def finished(self) -> Iterator[tuple[Rows, Scored]]:
        """Read the finished groups.

        Raises
        ------
        ResumeError
            If a record is damaged or of another run, or two hold the same rows.
        """
        recorded_until = 0
        for path in sorted(self._directory.find(_RECORDS), key=str):
            try:
                with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
                    self._refuse_other_run(path, arrays)
                    rows, scored = _unpack(arrays, self._reductions)
            except ResumeError:
                raise
            except (*_DAMAGED, BadZipFile, zlib.error) as error:
                raise ResumeError(f"{path}: damaged record ({error}); delete it to compute its rows again") from error
            if rows[0] < recorded_until:
                raise ResumeError(
                    f"{path}: rows before {recorded_until:,} are also in another record: two runs wrote to this "
                    "folder at the same time; start only one, and delete this record to compute its rows again"
                )
            recorded_until = rows[1]
            yield rows, scored

    def write(self, rows: Rows, scored: Scored) -> None:
        """Write the record of a finished group; it is on disk when this returns.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        buffer = io.BytesIO()
        packed = {_IDENTITY: np.array(self._identity), **_pack(rows, scored, self._reductions)}
        np.savez(buffer, **packed)
        with writing(self._directory, _WHAT, kept=lambda: what_is_kept(self._directory)):
            write_bytes(self._directory / f"rows-{rows[0]:012d}-{rows[1]:012d}.npz", buffer.getvalue())

    def _refuse_other_run(self, path: Place, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse a record that another run wrote into the folder, at the same time or later."""
        if str(arrays[_IDENTITY]) != self._identity:
            raise ResumeError(
                f"{path}: a record of another run than {_RUN_FILE} in the same folder says: two runs wrote here at the "
                "same time; delete this record to compute its rows again, or pass --restart to discard all records"
            )

    def _refuse_another(self, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        other = [f"{name.replace('_', ' ')}: {difference}" for name, difference in differences(known, wanted)]
        if other:
            raise ResumeError(
                f"{self._directory} holds the finished part of another run ({'; '.join(other)}); "
                "start that run again to continue it, or pass --restart to discard it"
            )


@contextmanager
def locked(directory: AnyPath) -> Iterator[None]:
    """Let no other run record in this folder until the block ends; it is made, and stays if a group is finished.

    Raises
    ------
    BusyError
        If another run records there; the message names its process.
    WriteError
        If the folder cannot be written.
    """
    folder = place_of(directory)
    with ExitStack() as stack:
        with writing(folder, _WHAT):
            folder.make_folder()
            stack.callback(_delete_empty, folder)
            stack.enter_context(locked_folder(folder))
        stack.callback(_forget_nothing, folder)
        yield


def _forget_nothing(folder: Place) -> None:
    """Delete the description of records if there are none."""
    with suppress(OSError):  # no reason to fail, where the run may have failed already
        if is_empty(folder):
            _delete_files(folder)


def _delete_empty(folder: Place) -> None:
    with suppress(OSError):  # it may have files
        folder.delete()


def is_empty(directory: AnyPath) -> bool:
    """Check whether a folder holds no finished group."""
    return not place_of(directory).find(_RECORDS)


def what_is_kept(directory: AnyPath) -> str:
    """Say what the same command finds after an interruption."""
    if is_empty(directory):
        return NOTHING_KEPT
    return f"finished rows are kept in {directory}: the same command continues from there"


def discard(directory: AnyPath) -> bool:
    """Delete the records of a run and their folder, after its result is written.

    Gives False if the folder has files that no run wrote: it stays, with these files.

    Raises
    ------
    WriteError
        If the files cannot be deleted.
    """
    folder = place_of(directory)
    try:
        _delete_files(folder)
        folder.delete()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise WriteError(f"{folder}: {_WHAT}, which are of no use any more, cannot be deleted: {why(error)}") from error
    return True


def _read_identity(file: Place) -> Mapping[str, Any]:
    """Read whose records a folder has; nothing is known of it without the file."""
    if not exists(file):
        return {}
    try:
        found = json.loads(read_bytes(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ResumeError(f"{file}: damaged ({error}); pass --restart to compute all rows again") from error
    if not isinstance(found, Mapping):
        raise ResumeError(f"{file}: not the description of a run; pass --restart to compute all rows again")
    return found


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
    for key in arrays.keys() - {"about", _IDENTITY}:
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
