"""The types of options that name what is written: a file, a folder, a pipe; results by their suffix."""

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from tracin_dask.errors import ResultError
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.formats import refuse_unknown
from tracin_dask.report.table_suffixes import table_suffix


class TargetType(click.ParamType[Place]):
    """A path or URL to write to; what lies there is checked before the command starts to work."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401, ARG002 - click's signature
        """Find the place; raises `PlaceError` for a URL of an unknown kind."""
        return place_of(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete paths of the file system."""
        return click.Path().shell_complete(ctx, param, incomplete)


class FormattedFile(TargetType):
    """A file whose suffix chooses the format: `check` raises `ResultError` for another suffix."""

    def __init__(self, check: Callable[[Place], object], *, folder_option: str = "") -> None:
        """Take the check, and the option that takes a folder instead."""
        self._check, self._folder_option = check, folder_option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401 - click's signature
        """Refuse a folder, and a suffix that no format has."""
        place = place_of(value)
        if place.is_folder():
            instead = f", or give {self._folder_option} {place}" if self._folder_option else ""
            self.fail(f"{place} is a folder; name a file in it{instead}", param, ctx)
        try:
            self._check(place)
        except ResultError as error:
            self.fail(str(error), param, ctx)
        return place


TARGET = TargetType()
RESULT_FILE = FormattedFile(refuse_unknown, folder_option="--output-dir")
TABLE_FILE = FormattedFile(table_suffix)
