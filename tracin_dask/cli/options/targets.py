"""The types of options that name what is written: a file, a folder, a pipe; results by their suffix."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from tracin_dask.errors import ResultError
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.formats import refuse_unknown


class TargetType(click.ParamType[Place]):
    """A path or URL to write to; what lies there is checked before the command starts to work."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401, ARG002 - click's signature
        """Find the place; raises `PlaceError` for a URL of an unknown kind."""
        return place_of(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete paths of the file system."""
        return click.Path().shell_complete(ctx, param, incomplete)


class ResultFile(TargetType):
    """A file for a result, whose suffix chooses the format."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401 - click's signature
        """Refuse a folder, and a suffix that no format has."""
        place = place_of(value)
        if place.is_folder():
            self.fail(f"{place} is a folder; name a file in it, or give --output-dir {place}", param, ctx)
        try:
            refuse_unknown(place)
        except ResultError as error:
            self.fail(str(error), param, ctx)
        return place


class TableFile(TargetType):
    """A file for a table, whose suffix chooses the format."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401 - click's signature
        """Refuse a folder, and a suffix that no format has."""
        from tracin_dask.report.table_file import refuse_other_suffixes  # noqa: PLC0415 - pyarrow is slow to import

        place = place_of(value)
        if place.is_folder():
            self.fail(f"{place} is a folder; name a file in it", param, ctx)
        try:
            refuse_other_suffixes(place)
        except ResultError as error:
            self.fail(str(error), param, ctx)
        return place


TARGET = TargetType()
