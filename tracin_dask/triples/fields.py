"""The fields of a line: how they are split, and which of them are read."""

import csv
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tracin_dask.triples.opening import BYTE_ORDER_MARK

NOT_UTF8 = "invalid UTF-8"
QUOTING = frozenset(",;")
"""Delimiters of files whose fields may be quoted."""
EMPTY_FIELD = "empty field"
LINE_MARK_IN_FIELD = "tab or end of line in a field"
LINE_MARK = "[\t\r\n]"
"""What a field cannot hold, as a pattern: no file of lines could say it."""
_LINE_MARKS = frozenset("\t\r\n")
_ARROW_BLOCK_BYTES = 4 << 20  # pyarrow gives up at a line that is longer; it is then split without pyarrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """How the lines of a file are split, and which of their fields are read, in this order."""

    num_fields: int
    used: tuple[int, ...]
    delimiter: str = "\t"

    @property
    def is_plain(self) -> bool:
        """Whether fields cannot hold tabs."""
        return self.delimiter == "\t"

    @property
    def quote_char(self) -> str | Literal[False]:
        """The quotes around fields, for pyarrow."""
        return '"' if self.delimiter in QUOTING else False


class MalformedLineError(Exception):
    """A line that cannot be used, and the kind of error."""

    def __init__(self, kind: str) -> None:
        """Store the kind."""
        super().__init__(kind)
        self.kind = kind


class OpenQuoteError(Exception):
    """A quoted field that does not end in its line."""


def split_by_arrow(data: bytes, fields: Fields) -> tuple[pa.StringArray, ...] | None:
    """Split with pyarrow; return None at a malformed line, because pyarrow does not report its number."""
    names = [str(column) for column in range(fields.num_fields)]
    used = [names[column] for column in fields.used]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(column_names=names, block_size=_ARROW_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(
                delimiter=fields.delimiter, quote_char=fields.quote_char, ignore_empty_lines=False
            ),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(used, pa.string()), include_columns=used),
        )
    except pa.ArrowInvalid:
        return None
    return tuple(table[name].combine_chunks() for name in used)


def needs_sieve(data: bytes, fields: Fields) -> bool:
    """Tell whether pyarrow would split lines in another way than `split_line`."""
    if data.startswith(BYTE_ORDER_MARK):
        return True  # that of the file is off already: pyarrow would take it off the first field of any block
    if fields.delimiter == " ":
        return any(run in b"\n" + data for run in (b"  ", b" \n", b" \r", b"\n ")) or data.endswith(b" ")
    return fields.delimiter in QUOTING and data.count(b"\r") != data.count(b"\r\n")


def has_unusable(column: pa.StringArray, fields: Fields | None = None) -> bool:
    """Tell whether a field is empty, or holds what no line can: a tab or the end of a line."""
    if pc.min(pc.binary_length(column)).as_py() == 0:
        return True
    if fields is not None and fields.is_plain:
        return False
    return bool(pc.any(pc.match_substring_regex(column, pattern=LINE_MARK)).as_py())


def usable_fields(line: bytes, fields: Fields, *, allow_spaces: bool) -> list[str]:
    """Return the fields of a line that are read; raises as `split_line` and `usable`."""
    if not line:
        raise MalformedLineError("blank line")
    if b"\r" in line:
        raise MalformedLineError("stray carriage return")
    text = line.decode(errors="surrogateescape")
    is_spaced = allow_spaces and "\t" not in text
    words = split_line(text, " " if is_spaced else fields.delimiter)
    if len(words) != fields.num_fields:
        raise MalformedLineError("wrong number of columns")
    return usable([words[column] for column in fields.used])


def split_line(text: str, delimiter: str) -> list[str]:
    """Split a line: at runs of spaces, or at single delimiters; fields with commas or semicolons may be quoted.

    Raises
    ------
    OpenQuoteError
        If a quoted field does not end in this line.
    """
    if delimiter == " ":
        return [word for word in text.split(" ") if word]
    if delimiter not in QUOTING or '"' not in text:
        return text.split(delimiter)
    return _quoted_fields(text, delimiter)


def _quoted_fields(text: str, delimiter: str) -> list[str]:
    """Split by the rules of CSV."""
    try:
        words = next(csv.reader([f"{text}\n"], delimiter=delimiter))
    except csv.Error as error:
        raise MalformedLineError("field that is too long") from error
    if words and words[-1].endswith("\n"):
        raise OpenQuoteError
    return words


def is_unicode(word: str) -> bool:
    """Tell whether all of a text is characters; bytes that are not UTF-8 and escapes of JSON can be halves of one."""
    return word.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in word)


def usable(words: list[str]) -> list[str]:
    """Return the fields of a line.

    Raises
    ------
    MalformedLineError
        If one is empty or not in UTF-8, or holds a tab or the end of a line, which text files of triples cannot hold.
    """
    for word in words:
        if not word:
            raise MalformedLineError(EMPTY_FIELD)
        if not is_unicode(word):
            raise MalformedLineError(NOT_UTF8)
        if not _LINE_MARKS.isdisjoint(word):
            raise MalformedLineError(LINE_MARK_IN_FIELD)
    return words
