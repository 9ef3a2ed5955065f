"""The types of options' values: sizes in bytes, files of a model, a number or `auto`, a grouping."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import click
from click.shell_completion import CompletionItem

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.errors import CheckpointError, PlaceError
from tracin_dask.limits import short
from tracin_dask.places.place import Place
from tracin_dask.places.registry import local_path_of, place_of
from tracin_dask.places.stream import Stream, input_place
from tracin_dask.sizes import bytes_of


class LocalPath(click.Path):
    """A path of the file system; a URL, which would be taken for a relative path, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's signature
        """Refuse a URL, and check the path."""
        try:
            path = local_path_of(value, "this")
        except PlaceError as error:
            self.fail(str(error), param, ctx)
        return super().convert(path, param, ctx)


LOCAL_FILE = LocalPath(exists=True, dir_okay=False, path_type=Path)
LOCAL_FOLDER = LocalPath(file_okay=False, path_type=Path)
STREAMS = "tracin_dask.streams"
"""Where a context of click keeps the pipes that its options read."""
Part = Literal["relation", "head", "tail"]


class PlaceType(click.ParamType[Place]):
    """A path of the file system, or a URL of a kind of place that is known."""

    def __init__(self, *, exists: bool = False, is_file: bool = False) -> None:
        """Say whether something must exist there, and whether it must be a file."""
        self._path = click.Path(exists=exists, dir_okay=not is_file)
        self.name = self._path.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401 - click's signature
        """Find the place; raises `PlaceError` for a URL of an unknown kind."""
        place = place_of(value)
        path = place.local_path()
        if path is not None:
            self._path.convert(path, param, ctx)
            if path.exists() and not (path.is_file() or path.is_dir()):
                self.fail(f"{value} is a pipe or a device, which cannot be read twice; write it to a file", param, ctx)
        elif self._path.exists and not (place.is_file() or (self._path.dir_okay and place.is_folder())):
            self.fail(f"{self._path.name.title()} {str(place)!r} does not exist.", param, ctx)
        return place

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete paths of the file system."""
        return self._path.shell_complete(ctx, param, incomplete)


class InputType(PlaceType):
    """A path or URL to read from; a pipe, or `-` for standard input, is read once."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401 - click's signature
        """Find the place; refuse a pipe that another option reads."""
        stream = input_place(value)
        if not isinstance(stream, Stream):
            return super().convert(value, param, ctx)
        streams: dict[object, Stream] = ctx.meta.setdefault(STREAMS, {}) if ctx is not None else {}
        if streams.setdefault(stream.identity() or str(stream), stream) is not stream:
            self.fail(f"{stream} is given twice, but can be read only once; write it to a file", param, ctx)
        return stream


ANY_PLACE = PlaceType()
FILE = InputType(exists=True, is_file=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PykeenDataset:
    """A dataset of PyKEEN by its name; with `inverses`, as PyKEEN trains with `create_inverse_triples`."""

    name: str
    inverses: bool = False

    def __str__(self) -> str:
        """Call it as the option does."""
        return f"pykeen:{self.name}{'+inverses' if self.inverses else ''}"


class TrainingTriples(InputType):
    """A file or folder, or the name of a dataset of PyKEEN where nothing of that name exists."""

    _DATASET = re.compile(r"(?:pykeen:)?(?P<name>[A-Za-z][A-Za-z0-9_-]*)(?P<inverses>\+inverses)?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's signature; a `Place` or a `PykeenDataset`
        """Take what exists as it is; anything else is a dataset, if it could be the name of one."""
        found = self._DATASET.fullmatch(str(value))
        if found is None or isinstance(value, Place) or Path(str(value)).exists():
            return super().convert(value, param, ctx)
        return PykeenDataset(name=found["name"], inverses=found["inverses"] is not None)


class ByteSize(click.ParamType[int]):
    """A size such as `1GiB`, as a number of bytes."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the text; a number without a unit is bytes."""
        size = value if isinstance(value, int) else bytes_of(value)
        if size is None:
            self.fail(f"{short(value)} is not a size in bytes; expected e.g. 512MiB or 1GiB", param, ctx)
        return size


class BatchSize(click.ParamType[int | None]):
    """A number of triples, or `auto`."""

    _number = WholeNumber(otherwise=", or auto")

    name = "integer|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:  # noqa: ANN401 - click's signature
        """Parse the text; `auto` is None."""
        return None if value is None or value == "auto" else self._number.convert(value, param, ctx)


class AuditSize(click.ParamType[int | None]):
    """A number of training triples, `auto`, or `off`."""

    _number = WholeNumber(0, otherwise=", auto or off")

    name = "integer|auto|off"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:  # noqa: ANN401 - click's signature
        """Parse the text; `auto` is None, and `off` is 0."""
        if value is None or value == "auto":
            return None
        return 0 if value == "off" else self._number.convert(value, param, ctx)


class GroupBy(click.ParamType[Part | Place]):
    """A part of a triple, or a file of groups."""

    name = "grouping"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Part | Place:  # noqa: ANN401 - click's signature
        """Take a part by its name; anything else is a file."""
        if value in get_args(Part):
            return cast("Part", value)
        if not input_place(value).is_file():
            self.fail(f"{value!r} is neither relation, head or tail, nor a file of groups", param, ctx)
        return FILE.convert(value, param, ctx)


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

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete paths of the file system."""
        return click.Path().shell_complete(ctx, param, incomplete)
