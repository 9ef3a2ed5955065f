"""The types of options' values: sizes in bytes, files of a model, a number or `auto`, a grouping."""

from pathlib import Path
from typing import Any, Literal, cast, get_args

import click

from tracin_dask.errors import CheckpointError
from tracin_dask.places.place import Place

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
ANY_PATH = click.Path(path_type=Path)
Part = Literal["relation", "head", "tail"]


class ByteSize(click.ParamType[int]):
    """A size such as `1GiB`, as a number of bytes."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the text; a number without a unit is bytes."""
        from dask.utils import parse_bytes  # noqa: PLC0415 - Dask is slow to import

        try:
            size = int(parse_bytes(value))
        except ValueError:
            size = 0
        if size < 1:
            self.fail(f"{value!r} is not a size in bytes; expected e.g. 512MiB or 1GiB", param, ctx)
        return size


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
        if value in get_args(Part):
            return cast("Part", value)
        if not Path(value).is_file():
            self.fail(f"{value!r} is neither relation, head or tail, nor a file of groups", param, ctx)
        return Path(value)


class ModelFiles(click.ParamType[list[Place]]):
    """A file, all checkpoints in a folder, or all files that match a pattern."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Place]:  # noqa: ANN401 - click's signature
        """Find the files."""
        from tracin_dask.models.checkpoints.series import find_files  # noqa: PLC0415 - torch is slow to import

        try:
            found = find_files(value)
        except CheckpointError as error:
            self.fail(str(error), param, ctx)
        for place in found:
            if not place.is_file():
                self.fail(f"File {str(place)!r} does not exist.", param, ctx)
        return found
