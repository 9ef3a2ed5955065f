"""The text of a file of known explanations, and the rows of one with commas or tabs."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tracin_dask.errors import TruthError
from tracin_dask.places.files import read_bytes
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of
from tracin_dask.report.truth.values import TruthFile

SHOWN_CHARACTERS = 200
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthText:
    """The text of a file; compressed files are decompressed, and hashed as they are."""

    file: TruthFile
    text: str

    def lines(self) -> Iterator[tuple[int, str]]:
        """Give the lines that are not blank, with their numbers from 1."""
        for number, line in enumerate(self.text.split("\n"), start=1):
            if line.strip():
                yield number, line.removesuffix("\r")

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Give the rows between commas, or between tabs where the first line has one, with the numbers of their lines.

        Raises
        ------
        TruthError
            If a quote is not closed.
        """
        first = next(self.lines(), (1, ""))[1]
        delimiter = "\t" if "\t" in first else ","
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
        line = 1
        try:
            for row in reader:
                if any(field.strip() for field in row):
                    yield line, [field.strip() for field in row]
                line = reader.line_num + 1
        except csv.Error as error:
            raise self.error(line, self.line(line), f"no row of a table: {error}") from error

    def line(self, number: int) -> str:
        """Give a line by its number."""
        lines = self.text.split("\n")
        return lines[number - 1].removesuffix("\r") if number <= len(lines) else ""

    def error(self, line: int, text: str, why: str) -> TruthError:
        """Say what is wrong with a line."""
        return TruthError(f"{self.file.path}, line {line}: {text[:SHOWN_CHARACTERS]!r}: {why}")


def read_text(path: AnyPath) -> TruthText:
    """Read a file.

    Raises
    ------
    TruthError
        If it cannot be read, its compression is damaged, it is not in UTF-8, or it is empty.
    """
    place = place_of(path)
    try:
        data = read_bytes(place)
    except OSError as error:
        raise TruthError(f"{place}: cannot be read: {error.strerror}; check the path") from error
    file = TruthFile(path=str(place), sha256=hashlib.sha256(data).hexdigest())
    text = _decoded(_decompressed(data, file.path), file.path)
    if not text.strip():
        raise TruthError(f"{place}: the file is empty; expected known explanations")
    return TruthText(file=file, text=text)


def _decompressed(data: bytes, path: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise TruthError(f"{path}: a damaged compressed file: {error}; download or compress it again") from error


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TruthError(f"{path}, line {line}: not in UTF-8 ({error.reason}); convert the file to UTF-8") from error
