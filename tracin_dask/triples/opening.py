"""Opens files as bytes of text: decompressed where their first bytes say so, refused where they are no text at all."""

import bz2
import contextlib
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pyarrow as pa

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.stream import input_place
from tracin_dask.triples.foreign import refuse_foreign
from tracin_dask.triples.parts import WHOLE, Part, lines_of_part

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1 << 18
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, pa.ArrowInvalid)

_Reader: TypeAlias = "io.BufferedReader[Any]"
OnBytes = Callable[[bytes], object]
"""Called with all bytes of a file, in order, as they are read."""


@contextlib.contextmanager
def open_text(path: AnyPath, on_bytes: OnBytes | None = None, part: Part = WHOLE) -> Iterator[_Reader]:
    """Open a file, decompressed; `on_bytes` is given the bytes of the file itself.

    A part is opened as it is, unobserved: the file is known to be text that is not compressed.

    Raises
    ------
    TriplesError
        If the file cannot be read, its compression is damaged, or it is no text.
    """
    place = input_place(path)
    try:
        with place.open() as file:
            if part != WHOLE:
                yield lines_of_part(file, part, place)
                return
            source: _Reader = file if on_bytes is None else io.BufferedReader(_Observed(file, on_bytes), _BUFFER_BYTES)
            text = _decompressed(source, place)
            refuse_foreign(place, text.peek(_BUFFER_BYTES))
            yield text
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is None:  # errors of decompression have no number
            raise _damaged(path, error) from error
        raise TriplesError(f"{path}: cannot be read: {error.strerror}; check the path") from error


def head_of(path: AnyPath, num_bytes: int) -> bytes:
    """Read the whole lines among the first bytes of the text; no byte order mark, and everything if it is short."""
    with open_text(path) as text:
        head = text.read(num_bytes)
        is_cut = bool(text.peek(1))
    return head.removeprefix(BYTE_ORDER_MARK)[: head.rfind(b"\n") + 1 if is_cut else None]


def is_compressed(place: Place) -> bool:
    """Tell whether a file is compressed, by its first bytes."""
    with place.open() as file:
        return _decompressor(file) is not None


def _damaged(path: AnyPath, error: Exception) -> TriplesError:
    return TriplesError(f"{path}: a damaged compressed file: {error}; download or compress it again")


def _decompressed(source: _Reader, place: Place) -> _Reader:
    decompress = _decompressor(source)
    if decompress is None:
        return source
    text: _Reader = io.BufferedReader(decompress(source), _BUFFER_BYTES)
    if _decompressor(text) is not None:
        raise TriplesError(f"{place}: the file is compressed twice; decompress it once")
    return text


def _decompressor(source: _Reader) -> Callable[[Any], Any] | None:
    """Choose by the first bytes; None where they are not those of a compressed file."""
    start = source.peek(_MAGIC_BYTES)
    return next((decompress for magic, decompress in _FORMATS.items() if magic.match(start)), None)


def _zstd(source: _Reader) -> Any:  # noqa: ANN401 - pyarrow has no types
    return pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")


_FORMATS: dict[re.Pattern[bytes], Callable[[Any], Any]] = {
    re.compile(rb"\x1f\x8b"): lambda source: gzip.GzipFile(fileobj=source),
    # with the digits that begin a block, or end a file of none: a label may begin with BZh
    re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"): lambda source: _Decompressed(source, bz2.BZ2Decompressor),
    re.compile(rb"\xfd7zXZ\x00"): lambda source: _Decompressed(source, lzma.LZMADecompressor),
    re.compile(rb"\x28\xb5\x2f\xfd"): _zstd,
}
"""By the first bytes of a file."""
_MAGIC_BYTES = 10


class _Observed(io.RawIOBase):
    """A file whose bytes a function sees as they are read."""

    def __init__(self, file: _Reader, on_bytes: OnBytes) -> None:
        self._file, self._on_bytes = file, on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        number = self._file.readinto(buffer)
        self._on_bytes(bytes(memoryview(buffer)[:number]))
        return number


class _Decompressed(io.RawIOBase):
    """A file of one or more compressed streams; the readers of `bz2` and `lzma` pass over what follows the first."""

    def __init__(self, file: _Reader, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> None:
        self._file, self._new, self._stream = file, new, new()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        data = b""
        while not data:
            given = b""
            if self._stream.eof:
                given = self._next_stream()
                if not given:
                    return 0
                self._stream = self._new()
            elif self._stream.needs_input:
                given = self._file.read(_BUFFER_BYTES)
                if not given:
                    raise EOFError("the file ends too early")
            data = self._stream.decompress(given, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next_stream(self) -> bytes:
        """Return the first bytes of what follows a stream, without padding; nothing at the end of the file."""
        given = self._stream.unused_data.lstrip(b"\0")
        while not given:
            more = self._file.read(_BUFFER_BYTES)
            if not more:
                break
            given = more.lstrip(b"\0")
        return given
