"""Text files as columns of strings, read in blocks of whole lines; errors have exact line numbers."""

import contextlib
import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedReader

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from jaxtyping import Int64

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of

BLOCK_BYTES = 64 << 20
MAX_LINE_BYTES = 1 << 20
SHOWN_LINES = 5
SHOWN_CHARACTERS = 200
_ARROW_BLOCK_BYTES = 4 << 20  # pyarrow gives up at a line that is longer; it is then split without pyarrow
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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

    def add(self, kind: str, line_index: Sequence[int], texts: Sequence[str]) -> None:
        """Count one line per index (from 0, ascending); `texts` may cover only the first few."""
        self.counts[kind] += len(line_index)
        shown = zip(line_index, texts[:SHOWN_LINES], strict=False)
        found = [InvalidLine(int(index) + 1, kind, text[:SHOWN_CHARACTERS]) for index, text in shown]
        self.first = sorted(self.first + found, key=lambda line: line.number)[:SHOWN_LINES]

    def describe(self, path: AnyPath, explain: Callable[[InvalidLine], str] | None = None) -> str:
        """Describe the number of invalid lines by kind, and show the first few; `explain` adds to each of them."""
        total = self.counts.total()
        kinds = ", ".join(f"{number:,} × {kind}" for kind, number in sorted(self.counts.items()))
        shown = "".join(
            f"\n  {path}, line {line.number}: {line.kind}: {line.text!r}{explain(line) if explain else ''}"
            for line in self.first
        )
        return f"{path}: {total:,} {'line' if total == 1 else 'lines'} cannot be used: {kinds}{shown}"


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
    on_bytes: Callable[[bytes], object] | None = None,
    is_gzip: bool = False,
) -> Iterator[Block]:
    """Cut a file into blocks of whole lines, in bounded memory.

    A byte order mark at the start and one blank line at the end are left out. `on_bytes` is given every byte of
    the text, in order.

    Raises
    ------
    TriplesError
        If the file cannot be read, or a line is longer than a block.
    """
    with _open(path, is_gzip=is_gzip) as file:
        first_line = 0
        for whole_lines in _cut(file, path, block_bytes, on_bytes or _ignore):
            data = whole_lines if first_line else whole_lines.removeprefix(_BYTE_ORDER_MARK)
            if data:
                num_lines = data.count(b"\n") + (not data.endswith(b"\n"))
                yield Block(data=data, first_line=first_line, num_lines=num_lines)
                first_line += num_lines


def read_columns(block: Block, num_columns: int, invalid: InvalidLines, *, allow_spaces: bool = False) -> Table:
    """Split lines at their tabs; those that are not `num_columns` non-empty fields in UTF-8 go to `invalid`.

    With `allow_spaces` a line without a tab is split at its spaces.
    """
    columns = None if allow_spaces else _parse(block.data, num_columns)
    if columns is None or len(columns[0]) != block.num_lines or any(map(_has_empty, columns)):
        return _sieve(block, num_columns, invalid, allow_spaces=allow_spaces)
    return Table(columns=columns, line_index=np.arange(block.num_lines, dtype=np.int64) + block.first_line)


def read_table(path: AnyPath, num_columns: int, *, expected: str) -> Table:
    """Read a whole file into memory.

    Raises
    ------
    TriplesError
        If any line is malformed or there is none; the message says what was expected.
    """
    invalid = InvalidLines()
    tables = [read_columns(block, num_columns, invalid) for block in read_blocks(path)]
    if invalid.counts:
        raise TriplesError(f"{invalid.describe(path)}\nExpected `{expected}` in every line")
    if not tables:
        raise TriplesError(f"{path}: the file is empty; expected lines of `{expected}`")
    return Table(
        columns=tuple(pa.concat_arrays(column) for column in zip(*(table.columns for table in tables), strict=True)),
        line_index=np.concatenate([table.line_index for table in tables]),
    )


@contextlib.contextmanager
def _open(path: AnyPath, *, is_gzip: bool) -> Iterator[BufferedReader | gzip.GzipFile]:
    try:
        file = place_of(path).open()
    except OSError as error:
        raise TriplesError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    with file, gzip.open(file) if is_gzip else contextlib.nullcontext(file) as text:
        yield text


def _ignore(_: bytes) -> None:
    """Ignore the bytes."""


def _cut(
    file: BufferedReader | gzip.GzipFile, path: AnyPath, block_bytes: int, on_bytes: Callable[[bytes], object]
) -> Iterator[bytes]:
    rest, at_end = b"", False
    while not at_end:
        chunk, at_end = _read(file, path, block_bytes)
        on_bytes(chunk)
        data = rest + chunk
        end = len(data) if at_end else data.rfind(b"\n") + 1
        rest = data[end:]
        if len(rest) > max(block_bytes, MAX_LINE_BYTES):
            raise TriplesError(f"{path}: a line has more than {MAX_LINE_BYTES:,} bytes; expected a text file of lines")
        yield _without_blank_end(data) if at_end else data[:end]


def _read(file: BufferedReader | gzip.GzipFile, path: AnyPath, num_bytes: int) -> tuple[bytes, bool]:
    """Read a number of bytes, or up to the end; return whether the end was reached."""
    try:
        return file.read(num_bytes), not file.peek(1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TriplesError(
            f"{path}: not a gzip file, or a damaged one: {error}; compress it again, or decompress it"
        ) from error


def _without_blank_end(data: bytes) -> bytes:
    for newline in (b"\r\n", b"\n"):
        before = data.removesuffix(newline)
        if before != data and (not before or before.endswith(b"\n")):
            return before
    return data


def _parse(data: bytes, num_columns: int) -> tuple[pa.StringArray, ...] | None:
    """Split with pyarrow; return None at a malformed line, because pyarrow does not report its number."""
    names = [str(column) for column in range(num_columns)]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(column_names=names, block_size=_ARROW_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        return None
    return tuple(table[name].combine_chunks() for name in names)


def _has_empty(column: pa.StringArray) -> bool:
    return bool(pc.min(pc.binary_length(column)).as_py() == 0)


def _sieve(block: Block, num_columns: int, invalid: InvalidLines, *, allow_spaces: bool) -> Table:
    """Split line by line: slow, but with the number of every line."""
    rows: list[list[str]] = []
    line_index: list[int] = []
    for index, raw in enumerate(_split_lines(block.data), start=block.first_line):
        try:
            rows.append(_fields(raw.removesuffix(b"\r"), num_columns, allow_spaces=allow_spaces))
            line_index.append(index)
        except _MalformedLineError as error:
            invalid.add(error.kind, [index], [raw[:SHOWN_CHARACTERS].decode(errors="backslashreplace")])
    columns = tuple(pa.array([row[column] for row in rows], pa.string()) for column in range(num_columns))
    return Table(columns=columns, line_index=np.array(line_index, dtype=np.int64))


def _split_lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n")


class _MalformedLineError(Exception):
    def __init__(self, kind: str) -> None:
        self.kind = kind


def _fields(line: bytes, num_columns: int, *, allow_spaces: bool) -> list[str]:
    if not line:
        raise _MalformedLineError("blank line")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise _MalformedLineError("invalid UTF-8") from None
    if "\r" in text:
        raise _MalformedLineError("stray carriage return")
    spaced = allow_spaces and "\t" not in text
    fields = [word for word in text.split(" ") if word] if spaced else text.split("\t")
    if len(fields) != num_columns:
        raise _MalformedLineError("wrong number of columns")
    if "" in fields:
        raise _MalformedLineError("empty field")
    return fields
