"""The options that say how triples lie in a file."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import click

from tracin_dask.errors import ConfigError
from tracin_dask.triples.shape import DELIMITERS, Shape


class ShapeFlags(TypedDict):
    """The values of these options, by name."""

    columns: tuple[str, ...]
    delimiter: str | None
    header: bool | None


class Columns(click.ParamType[tuple[str, ...]]):
    """Three names or numbers between commas."""

    name = "head,relation,tail"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:  # noqa: ANN401 - click's signature
        """Split at the commas."""
        if isinstance(value, tuple):
            return value
        columns = tuple(name.strip() for name in value.split(","))
        try:
            return Shape(columns=columns).columns
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class Delimiter(click.ParamType[str]):
    """A delimiter, by its name or as it is."""

    name = "|".join(DELIMITERS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        """Find the character."""
        try:
            return Shape(delimiter=DELIMITERS.get(value, "\t" if value == "\\t" else value)).delimiter or "\t"
        except ConfigError as error:
            self.fail(str(error), param, ctx)


def shape_options(option: Callable[..., Any], files: str) -> tuple[Any, ...]:
    """Make the options with a maker of options; `files` names the files that they are about."""
    return (
        option(
            "--columns",
            type=Columns(),
            default=(),
            help=f"The columns of head, relation and tail in {files}: names in a header (of JSON lines and Parquet, "
            "too), or numbers from 1.",
        ),
        option(
            "--delimiter",
            type=Delimiter(),
            help=f"What separates the columns in {files}: a name, or the character itself. Fields between commas or "
            "semicolons may be quoted. [default: tab]",
        ),
        option(
            "--header/--no-header",
            default=None,
            help=f"Whether the first line in {files} is a header. [default: no, and a line like one is refused]",
        ),
    )


def stated(options: Mapping[str, Any]) -> list[str]:
    """Name those of these options that are given."""
    return [f"--{name}" for name in ("columns", "delimiter", "header") if options.get(name) not in (None, ())]


def shape_words(options: Mapping[str, Any]) -> list[str]:
    """Repeat what is stated for the command that follows."""
    names = {character: name for name, character in DELIMITERS.items()}
    words = ["--columns", ",".join(options["columns"])] if options["columns"] else []
    words += ["--delimiter", names[options["delimiter"]]] if options["delimiter"] else []
    header = {True: ["--header"], False: ["--no-header"], None: []}
    return words + header[options["header"]]


def shape_of(options: Mapping[str, Any]) -> Shape:
    """Return what these options state; raises `ConfigError` for names of columns without a header."""
    return Shape(columns=options["columns"], delimiter=options["delimiter"], header=options["header"])
