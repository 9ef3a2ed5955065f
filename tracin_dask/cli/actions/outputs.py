"""Where a run's result goes: files and a folder, checked before any work and written at the end."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path, PurePath

from tracin_dask.errors import ConfigError
from tracin_dask.places.explained import why, writing
from tracin_dask.places.files import exists, locked_file, locked_folder
from tracin_dask.places.place import Place
from tracin_dask.places.target import is_standard_output, is_stream
from tracin_dask.report.folder import RECORDS, SUMMARY, refuse_earlier
from tracin_dask.report.format import separate_file
from tracin_dask.report.formats import refuse_many, write_result
from tracin_dask.report.group_file import write_groups
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.sinks.records import NOTHING_KEPT, what_is_kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What the options of `run` ask for."""

    files: tuple[Place, ...]
    folder: Place | None
    save_groups: Place | None
    performance_report: Place | None
    overwrite: bool

    @property
    def records(self) -> Place | None:
        """The folder with the records of an interrupted run; None if the result goes only to pipes."""
        if self.folder is not None:
            return self.folder / RECORDS
        first = next((file for file in self.files if not _is_stream(file)), None)
        return None if first is None else first.parent / f"{first.name}{RECORDS}"

    def check(self, *, has_groups: bool, has_ranks: bool) -> None:
        """Make the folders, and refuse what could not be written.

        Raises
        ------
        ConfigError
            If there is no output, two would be one file, an option has no effect, or a folder cannot be written to.
        ResultError
            If the folder has parts of an earlier result that are not to be overwritten.
        """
        if self.folder is None and not self.files:
            raise ConfigError("say where the result goes: --output FILE.json, or --output-dir FOLDER")
        if self.overwrite and self.folder is None:
            raise ConfigError("--overwrite is for --output-dir; a file of --output is replaced anyway")
        if self.save_groups is not None:
            _check_save_groups(self.save_groups, has_groups=has_groups)
        self._refuse_twice(has_groups=has_groups, has_ranks=has_ranks)
        self._refuse_parts_of_streams(has_parts=has_groups or has_ranks)
        if self.folder is not None:
            _check_folder(self.folder, "the result")
            if not exists(self.folder / SUMMARY):  # a whole result may be that of the same command
                refuse_earlier(self.folder, overwrite=self.overwrite)
        for file in self.files:
            _check_file(file, "the result")
        if self.performance_report is not None:
            _check_file(self.performance_report, "the performance report")

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Let no other run write any of these until the block ends; what is printed is kept apart from the result.

        Raises
        ------
        BusyError
            If another run writes one of them; the message names its process.
        """
        with ExitStack() as stack:
            if self.folder is not None:
                stack.enter_context(locked_folder(self.folder))
            for file in self._named():
                if not _is_stream(file):
                    stack.enter_context(locked_file(file))
            if any(_is_standard_output(file) for file in self.files):
                stack.enter_context(redirect_stdout(sys.stderr))
            yield

    def refuse_many(self, num_tests: int) -> None:
        """Refuse files that take one test triple, if there are more; raises as `formats.refuse_many`."""
        for file in self.files:
            refuse_many(file, num_tests)

    def write(self, result: InfluenceResult) -> Iterator[Path | Place]:
        """Write all, and give what was written.

        Raises
        ------
        WriteError
            If something cannot be written.
        """
        for file in self.files:
            with writing(file, "the result", kept=self.what_is_kept):
                write_result(result, file)
            yield file
        if self.folder is not None:
            with writing(self.folder, "the result", kept=self.what_is_kept):
                summary = result.write_directory(self.folder, overwrite=self.overwrite)
            yield summary
        if self.save_groups is not None:
            with writing(self.save_groups, "the table of groups", kept=self.what_is_kept):
                write_groups(result, self.save_groups)

    def what_is_kept(self) -> str:
        """Say what the same command finds after an interruption."""
        return NOTHING_KEPT if self.records is None else what_is_kept(self.records)

    def _named(self) -> list[Place]:
        """List all that is a file."""
        return [*self.files, *(file for file in (self.save_groups, self.performance_report) if file is not None)]

    def _refuse_twice(self, *, has_groups: bool, has_ranks: bool) -> None:
        """Refuse that one file is written over another."""
        parts = [("groups", suffix) for suffix in (".parquet", ".csv", ".tsv") if has_groups]
        parts += [("ranks", suffix) for suffix in (".csv", ".tsv") if has_ranks]
        beside = {str(separate_file(file, *part)) for file in self.files for part in parts}
        named = self._named()
        for number, path in enumerate(named):
            if str(path) in map(str, named[:number]) or str(path) in beside:
                raise ConfigError(f"{path} would be written twice; the outputs need different names")

    def _refuse_parts_of_streams(self, *, has_parts: bool) -> None:
        for file in self.files:
            if has_parts and _is_stream(file):
                raise ConfigError(
                    f"{file} is a pipe, but groups (--group-by) and ranks (--rank-of) go to files next to the result; "
                    "name a file"
                )


def _is_stream(place: Place) -> bool:
    path = place.local_path()
    return path is not None and is_stream(path)


def _is_standard_output(place: Place) -> bool:
    path = place.local_path()
    return path is not None and is_standard_output(path)


def _check_save_groups(path: Place, *, has_groups: bool) -> None:
    if not has_groups:
        raise ConfigError("--save-groups writes the totals of --group-by; give both, or none")
    if path.is_folder():
        raise ConfigError(f"--save-groups {path} is a folder; name a file in it")
    if not path.name.endswith(".parquet"):
        better = path.parent / f"{PurePath(path.name).stem}.parquet"
        raise ConfigError(f"--save-groups writes a Parquet table; call it {better}")
    _check_file(path, "the table of groups")


def _check_file(file: Place, what: str) -> None:
    _check_folder(file.parent, what)
    file.check_writable()


def _check_folder(folder: Place, what: str) -> None:
    try:
        folder.make_folder()
        folder.check_writable()
    except OSError as error:
        raise ConfigError(f"{what} cannot be written to {folder}: {why(error)}") from error
