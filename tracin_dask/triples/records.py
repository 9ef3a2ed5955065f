"""Triples in JSON lines and in Parquet: columns by their names."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place
from tracin_dask.triples.fields import (
    EMPTY_FIELD,
    LINE_MARK,
    LINE_MARK_IN_FIELD,
    MalformedLineError,
    has_unusable,
    usable,
)
from tracin_dask.triples.header import roles_of
from tracin_dask.triples.lines import (
    BLOCK_BYTES,
    SHOWN_CHARACTERS,
    SHOWN_LINES,
    Block,
    InvalidLines,
    Table,
    read_blocks,
)
from tracin_dask.triples.misfit import no_such_column
from tracin_dask.triples.opening import OnBytes
from tracin_dask.triples.parts import WHOLE, Part
from tracin_dask.triples.shape import Shape

_ARROW_BLOCK_BYTES = 4 << 20
_NOT_ONE_OBJECT_PER_LINE = re.compile(rb"\n[^{]|\}\s*\{")
_BATCH_ROWS = 1 << 18
_READ_BYTES = 1 << 20
PARQUET = b"PAR1"
_DAMAGED = (pa.ArrowException, UnicodeError)
"""What pyarrow raises for damaged Parquet files, whose names may be no text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """A JSON object per line, as in the edges of KGX."""

    path: Place
    keys: tuple[str, ...]
    part: Part = WHOLE

    @property
    def description(self) -> str:
        """Say how the file is read."""
        return f"JSON lines, keys {', '.join(self.keys)}"

    def tables(
        self, invalid: InvalidLines, *, block_bytes: int = BLOCK_BYTES, on_bytes: OnBytes | None = None
    ) -> Iterator[Table]:
        """Read the objects in blocks."""
        for block in read_blocks(self.path, block_bytes=block_bytes, on_bytes=on_bytes, part=self.part):
            invalid.num_lines += block.num_lines
            yield self._read(block, invalid)

    @property
    def is_lines(self) -> bool:
        """Return True."""
        return True

    def at(self, path: Place, part: Part = WHOLE) -> "JsonLines":
        """Read a part of the same file, by another path to it."""
        return replace(self, path=path, part=part)

    def refuse_other_count(self, num_lines: int) -> None:
        """Do nothing: these files announce no number."""

    def _read(self, block: Block, invalid: InvalidLines) -> Table:
        columns = None if self._is_irregular(block.data) else self._parse(block.data)
        if columns is None or len(columns[0]) != block.num_lines or any(map(has_unusable, columns)):
            return self._sieve(block, invalid)
        return Table(columns=columns, line_index=np.arange(block.num_lines, dtype=np.int64) + block.first_line)

    @staticmethod
    def _is_irregular(data: bytes) -> bool:
        """Tell whether a line may hold no object, a part of one, or several."""
        return not data.startswith(b"{") or _NOT_ONE_OBJECT_PER_LINE.search(data) is not None

    def _parse(self, data: bytes) -> tuple[pa.StringArray, ...] | None:
        """Read with pyarrow; return None for whatever is not a text, because pyarrow does not report its line."""
        try:
            table = pa.json.read_json(
                pa.BufferReader(data),
                read_options=pa.json.ReadOptions(block_size=_ARROW_BLOCK_BYTES),
                parse_options=pa.json.ParseOptions(
                    explicit_schema=pa.schema([(key, pa.string()) for key in self.keys]),
                    unexpected_field_behavior="ignore",
                ),
            )
            table.validate(full=True)
        except pa.ArrowInvalid:
            return None
        columns = tuple(table[key].combine_chunks() for key in self.keys)
        return None if any(column.null_count for column in columns) else columns

    def _sieve(self, block: Block, invalid: InvalidLines) -> Table:
        rows, line_index = list[list[str]](), list[int]()
        for index, line in enumerate(block.data.removesuffix(b"\n").split(b"\n"), start=block.first_line):
            try:
                rows.append(self._texts(line))
                line_index.append(index)
            except MalformedLineError as error:
                invalid.add(error.kind, [index], [line[:SHOWN_CHARACTERS].decode(errors="backslashreplace")])
        columns = tuple(pa.array([row[column] for row in rows], pa.string()) for column in range(len(self.keys)))
        return Table(columns=columns, line_index=np.array(line_index, dtype=np.int64))

    def _texts(self, line: bytes) -> list[str]:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise MalformedLineError("line that is not JSON") from None
        if not isinstance(found, dict) or not all(key in found for key in self.keys):
            raise MalformedLineError("missing key")
        values = [found[key] for key in self.keys]
        if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
            raise MalformedLineError("value that is no text")
        return usable([str(value) for value in values])


def find_json_lines(path: Place, first: bytes, shape: Shape) -> JsonLines | None:
    """Find the keys in the first line of a file; None if this is no JSON object.

    Raises
    ------
    TriplesError
        If the object has other keys than stated, or none that are known.
    """
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    _refuse_text_options(path, shape, "JSON lines")
    return JsonLines(path=path, keys=_named(path, list(found), shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet:
    """A table in a Parquet file."""

    path: Place
    names: tuple[str, ...]

    @property
    def description(self) -> str:
        """Say how the file is read."""
        return f"Parquet, columns {', '.join(self.names)}"

    def tables(
        self,
        invalid: InvalidLines,
        *,
        block_bytes: int = BLOCK_BYTES,  # noqa: ARG002 - the signature of a format; rows come in batches
        on_bytes: OnBytes | None = None,
    ) -> Iterator[Table]:
        """Read the rows in batches.

        Raises
        ------
        TriplesError
            If the file is damaged: where it has checksums, its pages are compared with them.
        """
        invalid.unit, start = "row", 0
        with self.path.open() as file:
            while on_bytes is not None and (data := file.read(_READ_BYTES)):
                on_bytes(data)
            try:
                whole = pa.parquet.ParquetFile(file, page_checksum_verification=True)
                for batch in whole.iter_batches(_BATCH_ROWS, columns=list(self.names)):
                    columns = tuple(batch.column(name).cast(pa.string()) for name in self.names)
                    for column in columns:
                        column.validate(full=True)  # it is UTF-8
                    yield _usable_rows(columns, start, invalid)
                    start += len(batch)
                    invalid.num_lines = start
            except (*_DAMAGED, OSError) as error:
                raise TriplesError(f"{self.path}: a damaged Parquet file: {error}; write it again") from error
        if start != whole.metadata.num_rows:
            raise TriplesError(
                f"{self.path}: a damaged Parquet file: it states {whole.metadata.num_rows:,} rows, but {start:,} were "
                "read; write it again"
            )

    @property
    def is_lines(self) -> bool:
        """Return False: it is read as a whole."""
        return False

    def at(self, path: Place, part: Part = WHOLE) -> "Parquet":  # noqa: ARG002 - the signature of a format; there are no parts
        """Read the same file by another path to it."""
        return replace(self, path=path)

    def refuse_other_count(self, num_lines: int) -> None:
        """Do nothing: reading compares the rows with their number."""


def find_parquet(path: Place, shape: Shape) -> Parquet:
    """Find the columns of a Parquet file.

    Raises
    ------
    TriplesError
        If the file is damaged, or its columns are others than stated, unknown, or hold neither text nor integers.
    """
    _refuse_text_options(path, shape, "Parquet files")
    try:
        with path.open() as file:
            schema = pa.parquet.read_schema(file)
        found = schema.names
    except (*_DAMAGED, OSError) as error:
        raise TriplesError(f"{path}: a damaged Parquet file: {error}; write it again") from error
    names = _named(path, found, shape)
    for name in names:
        if not _is_text(schema.field(name).type):
            raise TriplesError(
                f"{path}: the column {name} holds {schema.field(name).type}; expected text or whole numbers"
            )
    return Parquet(path=path, names=names)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer))


def _usable_rows(columns: Sequence[pa.StringArray], start: int, invalid: InvalidLines) -> Table:
    """Keep the rows whose fields are usable, and count the others."""
    is_empty = np.zeros(len(columns[0]), dtype=bool)
    is_marked = is_empty.copy()
    for column in columns:
        is_empty |= np.asarray(pc.fill_null(pc.equal(pc.binary_length(column), 0), fill_value=True))
        marks = pc.match_substring_regex(column, pattern=LINE_MARK)
        is_marked |= np.asarray(pc.fill_null(marks, fill_value=False))
    for kind, wrong in ((EMPTY_FIELD, is_empty), (LINE_MARK_IN_FIELD, is_marked & ~is_empty)):
        rows = np.flatnonzero(wrong)
        if len(rows):
            texts = ["\t".join(str(column[row]) for column in columns) for row in rows[:SHOWN_LINES].tolist()]
            invalid.add(kind, (rows + start).tolist(), texts)
    good = np.flatnonzero(~(is_empty | is_marked))
    return Table(columns=tuple(column.take(pa.array(good)) for column in columns), line_index=good + start)


def _named(path: Place, names: list[str], shape: Shape) -> tuple[str, ...]:
    if shape.by_name:
        for name in shape.columns:
            if names.count(name) != 1:
                raise no_such_column(path, name, names)
        return shape.columns
    roles = roles_of(names)
    if shape.columns or roles is None:
        raise TriplesError(
            f"{path}: the columns are {', '.join(names)}; say which are head, relation and tail by their names, with "
            "--columns HEAD,RELATION,TAIL"
        )
    return tuple(names[column] for column in roles)


def _refuse_text_options(path: Place, shape: Shape, what: str) -> None:
    if shape.delimiter is not None or shape.header is not None:
        raise TriplesError(f"{path}: {what} have names and no delimiters; leave out --delimiter and --header")
