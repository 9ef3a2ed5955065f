"""How options take their values: several in a row, patterns of files, a number or `auto`."""

import re
from pathlib import Path
from typing import Any

import click

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.series import find_files
from tracin_dask.runs.groupings import PARTS, Part

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MANY = {
    "--model-path": "file, e.g. --model-path model.pt",
    "--learning-rate": "number, e.g. --learning-rate 0.001",
    "--parameters": "pattern, e.g. --parameters 'fc.*'",
}
"""The options that take all values up to the next option, and what each needs at least."""


class BatchSize(click.ParamType[int | None]):
    """A number of triples, or `auto`."""

    name = "integer|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:  # noqa: ANN401 - click's signature
        """Parse the text; `auto` is None."""
        if value is None or value == "auto":
            return None
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor auto", param, ctx)


class GroupBy(click.ParamType[Part | Path]):
    """A part of a triple, or a file of groups."""

    name = "grouping"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Part | Path:  # noqa: ANN401 - click's signature
        """Take a part by its name; anything else is a file."""
        for part in PARTS:
            if value == part:
                return part
        if not Path(value).is_file():
            self.fail(f"{value!r} is neither relation, head or tail, nor a file of groups", param, ctx)
        return Path(value)


class ModelFiles(click.ParamType[list[Path]]):
    """A file, all checkpoints in a folder, or all files that match a pattern."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Path]:  # noqa: ANN401 - click's signature
        """Find the files."""
        try:
            found = find_files(value)
        except CheckpointError as error:
            self.fail(str(error), param, ctx)
        for path in found:
            FILE.convert(path, param, ctx)
        return found


class ManyValues(click.Command):
    """A command some of whose options take all values up to the next option: --parameters 'fc.*' 'bn2.*'."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat these options in front of each value; refuse a --test-triple that would swallow an option."""
        for place, arg in enumerate(args):
            if arg == "--test-triple" and any(word.startswith("--") for word in args[place + 1 : place + 4]):
                raise click.BadOptionUsage(arg, f"{arg} needs a head, a relation and a tail", ctx)
        spread: list[str] = []
        repeated: str | None = None
        for arg, after in zip(args, [*args[1:], "-"], strict=True):
            if arg in MANY and _is_option(after):
                raise click.BadOptionUsage(arg, f"{arg} needs at least one {MANY[arg]}", ctx)
            if _is_option(arg):
                repeated = arg if arg in MANY else None
                spread += [arg] if repeated is None else []
            else:
                spread += [arg] if repeated is None else [repeated, arg]
        return super().parse_args(ctx, spread)


def _is_option(word: str) -> bool:
    """Tell options from values; a negative number is a value, to be refused as such."""
    return word.startswith("-") and not re.match(r"-\.?\d", word)
