"""Parts of a file of text: the lines that begin in a range of its bytes, so that several processes can share it."""

import io
import itertools
from dataclasses import dataclass
from typing import Any, TypeAlias

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place

MAX_LINE_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 1 << 27
"""No block of a text is half as large: a line that is longer is refused wherever blocks end."""
_PIECE_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 18

_Reader: TypeAlias = "io.BufferedReader[Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The lines that begin at start ≤ byte < stop of a file that is not compressed; by default the whole file."""

    start: int = 0
    stop: int | None = None
    """None: the lines up to the end of the file."""
    first_line: int = 0
    """The number of its first line; 0 where nobody knows: its lines are then counted from 0."""

    @property
    def is_first(self) -> bool:
        """Whether it has what stands in front of the first row: a byte order mark, a header."""
        return self.start == 0


WHOLE = Part()


def cut(num_bytes: int, part_bytes: int) -> list[Part]:
    """Cut a file into parts of so many bytes; the last one goes to the end, and has a blank line there."""
    starts = range(0, max(1, num_bytes - 1), part_bytes)  # the blank line may have two bytes
    return [Part(start=start, stop=stop) for start, stop in itertools.zip_longest(starts, starts[1:])]


def lines_of_part(file: _Reader, part: Part, place: Place) -> _Reader:
    """Give the lines of a part of an open file as a file of its own.

    Raises
    ------
    TriplesError
        If a line is too long for any block.
    """
    start = _next_line(file, part.start, place)
    stop = None if part.stop is None else max(start, _next_line(file, part.stop, place))
    file.seek(start)
    return file if stop is None else io.BufferedReader(_Limited(file, stop - start), _BUFFER_BYTES)


def _next_line(file: _Reader, offset: int, place: Place) -> int:
    """Find the first line that begins at this byte or behind it; the end of the file where there is none."""
    if offset == 0:
        return 0
    position = file.seek(offset - 1)
    while piece := file.read(_PIECE_BYTES):
        found = piece.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(piece)
        if position - offset > _LONGEST_LINE_BYTES:
            raise line_too_long(place)
    return position


def line_too_long(path: object) -> TriplesError:
    """Say that a file has a line that is too long."""
    return TriplesError(f"{path}: a line has more than {MAX_LINE_BYTES:,} bytes; expected a text file of lines")


class _Limited(io.RawIOBase):
    """The next bytes of an open file, and no more than these."""

    def __init__(self, file: _Reader, num_bytes: int) -> None:
        self._file, self._left = file, num_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        number = self._file.readinto(memoryview(buffer)[: self._left])
        self._left -= number
        return number
