"""Where a run's result goes: files and a folder, checked before any work and written at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from tracin_dask.errors import ConfigError
from tracin_dask.places.place import Place
from tracin_dask.report.folder import RECORDS, refuse_earlier
from tracin_dask.report.format import separate_file
from tracin_dask.report.formats import refuse_many, write_result
from tracin_dask.report.group_file import write_groups
from tracin_dask.report.result import InfluenceResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What the options of `run` ask for."""

    files: tuple[Place, ...]
    folder: Place | None
    save_groups: Place | None
    overwrite: bool

    @property
    def records(self) -> Place:
        """The folder with the records of an interrupted run."""
        if self.folder is not None:
            return self.folder / RECORDS
        return self.files[0].parent / f"{self.files[0].name}{RECORDS}"

    def check(self, *, has_groups: bool, has_ranks: bool) -> None:
        """Make the folders, and refuse what could not be written.

        Raises
        ------
        ConfigError
            If there is no output, two would be one file, an option has no effect, or a folder cannot be written to.
        ResultError
            If the folder has an earlier result that is not to be overwritten.
        """
        if self.folder is None and not self.files:
            raise ConfigError("say where the result goes: --output FILE.json, or --output-dir FOLDER")
        if self.overwrite and self.folder is None:
            raise ConfigError("--overwrite is for --output-dir; a file of --output is replaced anyway")
        if self.save_groups is not None:
            _check_save_groups(self.save_groups, has_groups=has_groups)
        self._refuse_twice(has_groups=has_groups, has_ranks=has_ranks)
        if self.folder is not None:
            _check_folder(self.folder, "the result")
            refuse_earlier(self.folder, overwrite=self.overwrite)
        for file in self.files:
            _check_folder(file.parent, "the result")

    def refuse_many(self, num_tests: int) -> None:
        """Refuse files that take one test triple, if there are more; raises as `formats.refuse_many`."""
        for file in self.files:
            refuse_many(file, num_tests)

    def write(self, result: InfluenceResult) -> Iterator[Path | Place]:
        """Write all, and give what was written."""
        for file in self.files:
            write_result(result, file)
            yield file
        if self.folder is not None:
            yield result.write_directory(self.folder, overwrite=self.overwrite)
        if self.save_groups is not None:
            write_groups(result, self.save_groups)

    def _refuse_twice(self, *, has_groups: bool, has_ranks: bool) -> None:
        """Refuse that one file is written over another."""
        parts = [("groups", suffix) for suffix in (".parquet", ".csv", ".tsv") if has_groups]
        parts += [("ranks", suffix) for suffix in (".csv", ".tsv") if has_ranks]
        beside = {str(separate_file(file, *part)) for file in self.files for part in parts}
        named = [*self.files, *([self.save_groups] if self.save_groups else [])]
        for number, path in enumerate(named):
            if str(path) in map(str, named[:number]) or str(path) in beside:
                raise ConfigError(f"{path} would be written twice; the outputs need different names")


def _check_save_groups(path: Place, *, has_groups: bool) -> None:
    if not has_groups:
        raise ConfigError("--save-groups writes the totals of --group-by; give both, or none")
    if path.is_folder():
        raise ConfigError(f"--save-groups {path} is a folder; name a file in it")
    if not path.name.endswith(".parquet"):
        better = path.parent / f"{PurePath(path.name).stem}.parquet"
        raise ConfigError(f"--save-groups writes a Parquet table; call it {better}")
    _check_folder(path.parent, "the table of groups")


def _check_folder(target: Place, what: str) -> None:
    try:
        target.make_folder()
        target.check_writable()
    except OSError as error:
        raise ConfigError(f"{what} cannot be written to {target}: {error.strerror}; choose another place") from error
