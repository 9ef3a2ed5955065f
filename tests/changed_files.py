"""Valid text files, changed as accidents and people change them, and how many rows they have by a simple count."""

import bz2
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from hypothesis import strategies as st

from tracin_dask.errors import TracInDaskError

NUM_EXAMPLES = int(os.environ.get("TRACIN_DASK_EXAMPLES", "200"))
ZSTD = b"\x28\xb5\x2f\xfd"
"""A compression without a checksum, as pyarrow writes it."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SEPARATORS = [b" ", b"  ", b",", b";", b"|", b"\t\t", b"", b"\t ", b"\n", "\u00a0".encode()]
LINE_ENDS = [b"\r\n", b"\r", b"\n\n", b"\n\r", b"\n ", b"\x0b", b"\x0c", b"\x85", "\u2028".encode(), "\x85".encode()]
ODD = [b"\0", b"\x1b[31m", b"\x1a", b"\x07", b"\x0c", b"\x1c", b"\r", b'"', b"\xff", b"\xc3", b"\xed\xa0\x80", b"#",
       *(text.encode() for text in ("é", "\u202e", "\u200b", "\ufeff", "\u2028", "\x85", "\u0663", "𝟙"))]  # fmt: skip
NUMBERS = [b"9" * 5000, b"1" + b"0" * 400, b"18446744073709551616", b"9223372036854775808", b"2147483648", b"-1",
           b"+1", b"01", b"1.0", b"1e999", b"1e-999", b"nan", b"inf", b"1_0", b"0x1", b"", b" 1",
           "\u0663".encode()]  # fmt: skip
HEADS = [b"head\trelation\ttail\n", b"id\tlabel\n", b"5\n", b"# a comment\n", b"\n", b"{}\n", BYTE_ORDER_MARK]
PACKERS = [
    bytes,
    bytes,
    gzip.compress,
    bz2.compress,
    lzma.compress,
    lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    lambda data: gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
]


def _on_lines(change: Callable[[list[bytes], int, int], None]) -> Callable[[bytes, int, int], bytes]:
    def changed(data: bytes, place: int, what: int) -> bytes:
        lines = data.splitlines(keepends=True)
        if lines:
            change(lines, place % len(lines), what)
        return b"".join(lines)

    return changed


def _replaced(data: bytes, pattern: bytes, new: bytes, place: int) -> bytes:
    """Put something in the place of one match of a pattern, or of all of them."""
    found = list(re.finditer(pattern, data))
    if not found or place % 3 == 0:
        return re.sub(pattern, lambda _: new, data)
    one = found[place % len(found)]
    return data[: one.start()] + new + data[one.end() :]


def _flip(data: bytes, place: int, what: int) -> bytes:
    at = place % max(len(data), 1)
    return data[:at] + bytes(byte ^ 1 << what % 8 for byte in data[at : at + 1]) + data[at + 1 :]


def _insert(data: bytes, place: int, new: bytes) -> bytes:
    at = place % (len(data) + 1)
    return data[:at] + new + data[at:]


def _encoded(data: bytes, what: int) -> bytes:
    encoding = ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7")[what % 7]
    return data.decode(errors="replace").encode(encoding, errors="replace")


CHANGES: dict[str, Callable[[bytes, int, int], bytes]] = {
    "flip a bit": _flip,
    "delete a line": _on_lines(lambda lines, place, _: lines.pop(place)),
    "repeat a line": _on_lines(lambda lines, place, what: lines.insert(what % (len(lines) + 1), lines[place])),
    "cut the end": lambda data, place, _: data[: place % (len(data) + 1)],
    "cut the start": lambda data, place, _: data[place % (len(data) + 1) :],
    "cut the last newline": lambda data, *_: data.removesuffix(b"\n"),
    "change separators": lambda data, place, what: _replaced(data, b"\t", SEPARATORS[what % len(SEPARATORS)], place),
    "change ends of lines": lambda data, place, what: _replaced(data, b"\n", LINE_ENDS[what % len(LINE_ENDS)], place),
    "change a number": lambda data, place, what: _replaced(data, rb"\d+", NUMBERS[what % len(NUMBERS)], place),
    "insert": lambda data, place, what: _insert(data, place, ODD[what % len(ODD)]),
    "put something in front": lambda data, _, what: HEADS[what % len(HEADS)] + data,
    "put something behind": lambda data, _, what: data + (*LINE_ENDS, *ODD)[what % (len(LINE_ENDS) + len(ODD))],
    "encode": lambda data, _, what: _encoded(data, what),
}
_NUMBER = st.integers(0, 1 << 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A changed file: its text, and the bytes that are on disk."""

    text: bytes
    packed: bytes

    @property
    def lines(self) -> list[bytes]:
        """What is between line feeds; a byte order mark, and one blank line at the end, are left out."""
        lines = self.text.removeprefix(BYTE_ORDER_MARK).split(b"\n")
        if lines[-1] == b"":
            lines = lines[:-1] if lines[-2:-1] not in ([b""], [b"\r"]) else lines[:-2]
        return [line.removesuffix(b"\r") for line in lines]

    def written(self, folder: Path, name: str) -> Path:
        """Write the file."""
        path = folder / name
        path.write_bytes(self.packed)
        return path

    def table(self, *, allow_spaces: bool = False) -> list[list[str]]:
        """Split the lines at tabs."""
        texts = [line.decode(errors="surrogateescape") for line in self.lines]
        is_spaced = [allow_spaces and "\t" not in text for text in texts]
        return [
            re.split(" +", text.strip(" ")) if spaced else text.split("\t")
            for text, spaced in zip(texts, is_spaced, strict=True)
        ]


def is_field(word: str) -> bool:
    """Tell whether a field of `Changed.table` holds text that a row can have."""
    return bool(word) and "\r" not in word and not any("\ud800" <= letter <= "\udfff" for letter in word)


@st.composite
def changed_files(draw: st.DrawFn, lines: st.SearchStrategy[list[str]]) -> Changed:
    """Draw lines, up to three changes, a compression, and sometimes a damage of the compressed file."""
    text = "".join(f"{line}\n" for line in draw(lines)).encode()
    for name in draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=3)):
        text = CHANGES[name](text, draw(_NUMBER), draw(_NUMBER))
    packed = draw(st.sampled_from(PACKERS))(text)
    if packed != text and draw(st.integers(0, 3)) == 0:
        damage = CHANGES[
            "cut the end" if packed.startswith(ZSTD) else draw(st.sampled_from(["cut the end", "flip a bit"]))
        ]
        start, rest = packed[:10], packed[10:]  # the start says how it is compressed
        packed = start + damage(rest, draw(_NUMBER), draw(_NUMBER))
        with suppress(OSError, EOFError, zlib.error):
            text = gzip.decompress(packed)  # all that is left, where the cut is between two compressed pieces
    return Changed(text=text, packed=packed)


def check_read(path: Path, read: Callable[[], object], wanted: Callable[[], object]) -> None:
    """Check that either an error of the package names the file, or what is read is what a simple reader finds."""
    try:
        found = read()
    except TracInDaskError as error:
        assert str(path) in str(error)  # noqa: PT017 - an error is one of two right outcomes
    else:
        assert found == wanted()
