"""Text files as columns of strings, read in blocks of whole lines; errors have exact line numbers."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BufferedReader

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.places.stream import input_place
from tracin_dask.triples.fields import (
    NOT_UTF8,
    Fields,
    MalformedLineError,
    OpenQuoteError,
    has_unusable,
    needs_sieve,
    split_by_arrow,
    usable_fields,
)
from tracin_dask.triples.foreign import conversion
from tracin_dask.triples.opening import BYTE_ORDER_MARK, OnBytes, head_of, open_text
from tracin_dask.triples.parts import MAX_LINE_BYTES, WHOLE, Part, line_too_long

BLOCK_BYTES = 64 << 20
SHOWN_LINES = 5
SHOWN_CHARACTERS = 200
_COUNT_BYTES = 100
_COUNT_LINE = re.compile(rb" *(\d{1,18}) *\r?\n")
"""A tab before or behind the number would be that of a line without its label."""


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """An invalid line: its number (from 1), the kind of error, and its text."""

    number: int
    kind: str
    text: str


@dataclass(slots=True)
class InvalidLines:
    """Collects the invalid lines of one file: a count per kind, and the first few lines."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[InvalidLine] = field(default_factory=list)
    lines_before: int = 0
    """Lines in front of the first row: a header, a count."""
    unit: str = "line"
    """What the file counts: lines, or the rows of a table."""
    num_lines: int = 0
    """Lines that were read, whether they can be used or not."""

    def add(self, kind: str, line_index: Sequence[int], texts: Sequence[str]) -> None:
        """Count one line per index (from 0, ascending); `texts` may cover only the first few."""
        self.counts[kind] += len(line_index)
        shown = zip(line_index, texts[:SHOWN_LINES], strict=False)
        found = [InvalidLine(int(index) + 1, kind, text[:SHOWN_CHARACTERS]) for index, text in shown]
        self.first = sorted(self.first + found, key=lambda line: line.number)[:SHOWN_LINES]

    def followed_by(self, part: "InvalidLines") -> "InvalidLines":
        """Add those of the next part of the file, whose lines are counted from 0."""
        shown = [replace(line, number=line.number + self.num_lines) for line in part.first]
        return InvalidLines(
            counts=self.counts + part.counts,
            first=(self.first + shown)[:SHOWN_LINES],
            lines_before=part.lines_before,
            unit=part.unit,
            num_lines=self.num_lines + part.num_lines,
        )

    def describe(self, path: AnyPath, explain: Callable[[InvalidLine], str] | None = None) -> str:
        """Describe the number of invalid lines by kind, and show the first few; `explain` adds to each of them."""
        total = self.counts.total()
        kinds = ", ".join(f"{number:,} × {kind}" for kind, number in sorted(self.counts.items()))
        shown = "".join(
            f"\n  {path}, {self.unit} {line.number + self.lines_before}: {line.kind}: {line.text!r}"
            f"{explain(line) if explain else ''}"
            for line in self.first
        )
        number = f"{total:,} {self.unit}{'' if total == 1 else 's'}"
        return f"{path}: {number} cannot be used: {kinds}{shown}{self._encoding_advice(path)}"

    def _encoding_advice(self, path: AnyPath) -> str:
        """Name the encoding that a file probably has, where it is not UTF-8."""
        if not self.counts[NOT_UTF8]:
            return ""
        texts = "".join(line.text for line in self.first if line.kind == NOT_UTF8)
        is_windows = re.search(r"\\x[89]", texts) is not None  # control characters in Latin-1
        name, code = ("Windows-1252", "WINDOWS-1252") if is_windows else ("Latin-1", "LATIN1")
        return f"\nThe file is not in UTF-8, probably in {name}: convert it with `{conversion(path, code)}`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Whole lines of a file; `first_line` counts from 0."""

    data: bytes
    first_line: int
    num_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The columns of the well-formed lines of a block; `line_index` is each line's number in the file, from 0."""

    columns: tuple[pa.StringArray, ...]
    line_index: Int64[np.ndarray, " row"]

    def text(self, row: int) -> str:
        """Join the columns of a line."""
        return "\t".join(column[row].as_py() for column in self.columns)


def read_blocks(
    path: AnyPath,
    *,
    block_bytes: int = BLOCK_BYTES,
    on_bytes: OnBytes | None = None,
    skip_lines: int = 0,
    part: Part = WHOLE,
) -> Iterator[Block]:
    """Cut a file, or a part of it, into blocks of whole lines, in bounded memory; what is compressed is decompressed.

    A byte order mark and `skip_lines` lines at the start, and one blank line at the end are left out. `on_bytes` is
    given all bytes of the file, in order.

    Raises
    ------
    TriplesError
        If the file cannot be read or is no text, or a line is longer than a block.
    """
    with open_text(path, on_bytes, part) as file:
        if part.is_first and file.peek(len(BYTE_ORDER_MARK)).startswith(BYTE_ORDER_MARK):
            file.read(len(BYTE_ORDER_MARK))
        for _ in range(skip_lines if part.is_first else 0):
            file.readline(MAX_LINE_BYTES)
        first_line = part.first_line
        for data in _cut(file, path, block_bytes, is_last=part.stop is None):
            if data:
                num_lines = data.count(b"\n") + (not data.endswith(b"\n"))
                yield Block(data=data, first_line=first_line, num_lines=num_lines)
                first_line += num_lines


def read_columns(
    block: Block,
    num_columns: int,
    invalid: InvalidLines,
    *,
    allow_spaces: bool = False,
    fields: Fields | None = None,
) -> Table:
    """Split lines at their tabs; those that are not `num_columns` non-empty fields in UTF-8 go to `invalid`.

    With `allow_spaces` a line without a tab is split at its spaces. `fields` says which fields of other lines are read.

    Raises
    ------
    LineBreakError
        If a quoted field does not end in its line.
    """
    fields = fields or Fields(num_fields=num_columns, used=tuple(range(num_columns)))
    columns = None if allow_spaces or needs_sieve(block.data, fields) else split_by_arrow(block.data, fields)
    if columns is None or len(columns[0]) != block.num_lines or any(has_unusable(column, fields) for column in columns):
        return _sieve(block, fields, invalid, allow_spaces=allow_spaces)
    return Table(columns=columns, line_index=np.arange(block.num_lines, dtype=np.int64) + block.first_line)


def read_table(path: AnyPath, num_columns: int, *, expected: str, allow_count: bool = False) -> Table:
    """Read a whole file into memory.

    With `allow_count`, the first line may be the number of the other lines alone, as in the files of OpenKE.

    Raises
    ------
    TriplesError
        If any line is malformed or there is none, or the number is wrong; the message says what was expected.
    """
    place = input_place(path)
    count = count_line(head_of(place, _COUNT_BYTES)) if allow_count else None
    invalid = InvalidLines(lines_before=0 if count is None else 1)
    tables = [
        read_columns(block, num_columns, invalid) for block in read_blocks(place, skip_lines=invalid.lines_before)
    ]
    if invalid.counts:
        raise TriplesError(f"{invalid.describe(path)}\nExpected `{expected}` in every line")
    if not tables:
        raise TriplesError(f"{path}: the file is empty; expected lines of `{expected}`")
    line_index = np.concatenate([table.line_index for table in tables]) + invalid.lines_before
    refuse_other_count(path, count, len(line_index))
    columns = zip(*(table.columns for table in tables), strict=True)
    return Table(columns=tuple(pa.concat_arrays(column) for column in columns), line_index=line_index)


def count_line(head: bytes) -> int | None:
    """Return the number that is alone in the first line of a file, if it is so."""
    found = _COUNT_LINE.match(head)
    return None if found is None else int(found[1])


def refuse_other_count(path: AnyPath, count: int | None, number: int) -> None:
    """Raise if the first line of a file states another number of lines than there are.

    Raises
    ------
    TriplesError
        With both numbers.
    """
    if count is not None and count != number:
        raise TriplesError(
            f"{path}, line 1: {count:,} lines are announced, but {number:,} follow; is the file complete?"
        )


def _cut(file: BufferedReader, path: AnyPath, block_bytes: int, *, is_last: bool) -> Iterator[bytes]:
    rest, at_end = b"", False
    while not at_end:
        chunk, at_end = file.read(block_bytes), not file.peek(1)
        data = rest + chunk
        end = len(data) if at_end else data.rfind(b"\n") + 1
        rest = data[end:]
        if len(rest) > max(block_bytes, MAX_LINE_BYTES):
            raise line_too_long(path)
        yield _without_blank_end(data) if at_end and is_last else data[:end]


def _without_blank_end(data: bytes) -> bytes:
    for newline in (b"\r\n", b"\n"):
        before = data.removesuffix(newline)
        if before != data and (not before or before.endswith(b"\n")):
            return before
    return data


def _sieve(block: Block, fields: Fields, invalid: InvalidLines, *, allow_spaces: bool) -> Table:
    """Split line by line: slow, but with the number of every line."""
    rows: list[list[str]] = []
    line_index: list[int] = []
    for index, raw in enumerate(_split_lines(block.data), start=block.first_line):
        try:
            rows.append(usable_fields(raw.removesuffix(b"\r"), fields, allow_spaces=allow_spaces))
            line_index.append(index)
        except MalformedLineError as error:
            invalid.add(error.kind, [index], [raw[:SHOWN_CHARACTERS].decode(errors="backslashreplace")])
        except OpenQuoteError:
            raise LineBreakError(index) from None
    columns = tuple(pa.array([row[column] for row in rows], pa.string()) for column in range(len(fields.used)))
    return Table(columns=columns, line_index=np.array(line_index, dtype=np.int64))


def _split_lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n")


class LineBreakError(Exception):
    """A quoted field that goes on in the next line; `index` counts lines from 0."""

    def __init__(self, index: int) -> None:
        """Store the number of the line."""
        super().__init__(index)
        self.index = index
