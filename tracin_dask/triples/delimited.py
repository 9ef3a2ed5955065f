"""Text files with delimiters between columns, which may have a header or a count of their lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place
from tracin_dask.triples.fields import Fields
from tracin_dask.triples.header import header_reason, roles_of
from tracin_dask.triples.lines import (
    BLOCK_BYTES,
    InvalidLines,
    LineBreakError,
    Table,
    count_line,
    read_blocks,
    read_columns,
    refuse_other_count,
)
from tracin_dask.triples.misfit import PLURALS, misfit, no_such_column, split_or_nothing
from tracin_dask.triples.opening import OnBytes
from tracin_dask.triples.parts import WHOLE, Part
from tracin_dask.triples.shape import ROLES, Shape

_SEEN_LINES = 1000
_HEADER_BYTES = 8 << 20
_START_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Delimited:
    """Lines of fields, after a header or a count of the lines, where there is one."""

    path: Place
    fields: Fields
    allow_spaces: bool = False
    has_header: bool = False
    count: int | None = None
    description: str = ""
    part: Part = WHOLE

    @property
    def lines_before(self) -> int:
        """The number of lines in front of the first row."""
        return self.has_header + (self.count is not None)

    def tables(
        self, invalid: InvalidLines, *, block_bytes: int = BLOCK_BYTES, on_bytes: OnBytes | None = None
    ) -> Iterator[Table]:
        """Read the lines in blocks.

        Raises
        ------
        TriplesError
            If the file is no text, a quoted field goes on in the next line, or the lines are not as many as announced.
        """
        invalid.lines_before = self.lines_before
        reading = {"block_bytes": block_bytes, "skip_lines": self.lines_before}
        for block in read_blocks(self.path, on_bytes=on_bytes, part=self.part, **reading):
            invalid.num_lines += block.num_lines
            try:
                yield read_columns(
                    block, len(self.fields.used), invalid, allow_spaces=self.allow_spaces, fields=self.fields
                )
            except LineBreakError as error:
                raise TriplesError(
                    f"{self.path}, line {error.index + 1 + self.lines_before}: a quoted field does not end in this "
                    "line; expected one row per line: take the line breaks out of the fields"
                ) from error
        if self.part == WHOLE:
            self.refuse_other_count(invalid.num_lines)

    @property
    def is_lines(self) -> bool:
        """Return True."""
        return True

    def at(self, path: Place, part: Part = WHOLE) -> "Delimited":
        """Read a part of the same file, by another path to it."""
        return replace(self, path=path, part=part)

    def refuse_other_count(self, num_lines: int) -> None:
        """Refuse a file that has not as many lines as it announces; raises as `lines.refuse_other_count`."""
        refuse_other_count(self.path, self.count, num_lines)


def find_delimited(
    path: Place, head: bytes, shape: Shape, *, num_columns: int = len(ROLES), allow_spaces: bool = False
) -> Delimited:
    """Find out how the lines of a file are split, from what is stated and from its first lines.

    Raises
    ------
    TriplesError
        If the file has another shape, or a header that is not stated; the message says which options read it.
    """
    lines = [line.removesuffix("\r") for line in head.decode(errors="surrogateescape").split("\n")[:_SEEN_LINES]]
    lines = [line for line in lines if line]
    spaces = allow_spaces and not shape.columns and shape.delimiter is None
    if not lines:
        return Delimited(path=path, fields=_plain(num_columns), allow_spaces=spaces)
    count = count_line(head) if len(lines) > 1 else None
    expected = f"{num_columns} columns separated by {PLURALS[shape.delimiter or chr(9)]}{' or spaces' * spaces}"
    if count is not None and not shape.columns:
        raise misfit(path, lines[1:], expected=expected, count=count)
    rows = _split(lines[count is not None :], shape, allow_spaces=spaces)
    has_header = bool(shape.header or shape.by_name)
    used = _used(path, rows[0], shape, num_columns)
    num_fields = len(rows[0]) if shape.columns or has_header else num_columns
    rows_below = rows[has_header:]
    if used is None or (rows_below and not any(len(row) == num_fields for row in rows_below)):
        raise misfit(path, lines[count is not None :], expected=expected)
    fields = Fields(num_fields=num_fields, used=used, delimiter=shape.delimiter or "\t")
    found = Delimited(path=path, fields=fields, allow_spaces=spaces, has_header=has_header, count=count)
    found = replace(found, description=_describe(found, rows[0]))
    if shape.header is None and not has_header:
        _refuse_header(found)
    return found


def _plain(num_columns: int) -> Fields:
    return Fields(num_fields=num_columns, used=tuple(range(num_columns)))


def _split(lines: Sequence[str], shape: Shape, *, allow_spaces: bool) -> list[list[str]]:
    delimiters = [shape.delimiter or (" " if allow_spaces and "\t" not in line else "\t") for line in lines]
    return [split_or_nothing(line, delimiter) for line, delimiter in zip(lines, delimiters, strict=True)]


def _used(path: Place, first: Sequence[str], shape: Shape, num_columns: int) -> tuple[int, ...] | None:
    """Find the columns that are read; None where the first line does not have them.

    Raises
    ------
    TriplesError
        If a name is not in the header.
    """
    if shape.by_name:
        names = [name.strip() for name in first]
        if len(names) < len(ROLES):
            return None
        for name in shape.columns:
            if names.count(name) != 1:
                raise no_such_column(path, name, names)
        return tuple(names.index(name) for name in shape.columns)
    if shape.columns:
        numbers = tuple(int(column) - 1 for column in shape.columns)
        return numbers if 0 <= min(numbers) <= max(numbers) < len(first) else None
    roles = roles_of(first) if shape.header else None
    if roles is not None:
        return (*roles, *sorted(set(range(num_columns)) - set(roles))[: num_columns - len(ROLES)])
    return tuple(range(num_columns)) if len(first) == num_columns or not shape.header else None


def _describe(found: Delimited, first: Sequence[str]) -> str:
    """Say how the file is read; "" for columns between tabs alone."""
    fields = found.fields
    if fields.used == tuple(range(fields.num_fields)) and fields.is_plain and not found.lines_before:
        return ""
    names = [first[column].strip() if found.has_header else str(column + 1) for column in fields.used]
    parts = [f"columns {', '.join(names)} of {fields.num_fields}, separated by {PLURALS[fields.delimiter]}"]
    parts += ["below a header"] * found.has_header + ["below their number"] * (found.count is not None)
    return ", ".join(parts)


def _refuse_header(found: Delimited) -> None:
    """Raise if the first row looks like a header.

    Raises
    ------
    TriplesError
        With the line, the reason, and the options that say what it is.
    """
    start = _start(found, _START_BYTES)
    reason = header_reason(start, lambda: _start(found, _HEADER_BYTES))
    if reason is not None:
        raise TriplesError(
            f"{found.path}, line {1 + found.lines_before}: {start.text(0)!r} looks like a header: {reason}; add "
            "--header if it is one, or --no-header if it is a triple"
        )


def _start(found: Delimited, num_bytes: int) -> Table:
    columns = tuple(pa.array([], pa.string()) for _ in found.fields.used)
    nothing = Table(columns=columns, line_index=np.empty(0, np.int64))
    return next(found.tables(InvalidLines(), block_bytes=num_bytes), nothing)
