"""Names files that are no text of lines, by their first bytes: a web page, an archive, UTF-16."""

import shlex
import zipfile

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place

_BINARY = {
    b"\x93NUMPY": "a NumPy array (.npy); write its rows as lines with tabs, or as Parquet",
    b"PAR1": "a Parquet file, which is read only for triples",
    b"ARROW1": "an Arrow (Feather) file; write it as Parquet or as text",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file; write it as Parquet or as text",
    b"SQLite format 3": "an SQLite database; write the table as text",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"\x04\x22\x4d\x18": "a file compressed by lz4; decompress it",
    b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an old Office document (.xls); save the table as CSV",
    b"version https://git-lfs.github.com/spec/": "a git-lfs pointer, not the file itself; fetch the file with "
    "`git lfs pull`",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
}
_WIDE = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""By their byte order marks."""
_MARKUP = {b"<!doctype html": "an HTML page", b"<html": "an HTML page", b"<?xml": "an XML document"}
_ZIP = b"PK\x03\x04"
_IN_ZIP = {
    "data.pkl": "a PyTorch file",
    "xl/workbook.xml": "an Excel workbook; save the table as CSV",
    ".npy": "NumPy arrays (.npz)",
}
"""By the end of a member's name."""
_TAR_PLACE = 257


def refuse_foreign(place: Place, head: bytes) -> None:
    """Raise if a file is no text in UTF-8, by the first bytes of its decompressed contents.

    Raises
    ------
    TriplesError
        With the name of what the file is, and what to do.
    """
    found = _name(place, head)
    if found is not None:
        raise TriplesError(f"{place}: the file is {found}; expected a text file of lines in UTF-8")


def _name(place: Place, head: bytes) -> str | None:
    for magic, name in _BINARY.items():
        if head.startswith(magic):
            return name
    if head.startswith(_ZIP):
        return _zip_name(place)
    if head[_TAR_PLACE:].startswith(b"ustar"):
        return "a tar archive; unpack it"
    start = head[:1000].lstrip().lower()
    for beginning, name in _MARKUP.items():
        if start.startswith(beginning):
            return f"{name}, perhaps of a download that failed"
    if b"\n" not in head and b"\r" in head[:-1]:
        return (
            "one of lines that end in a carriage return alone, as on old Macs; "
            f"convert it with `tr '\\r' '\\n' < {shlex.quote(str(place))} > lines.txt`"
        )
    return _encoding(place, head)


def _zip_name(place: Place) -> str:
    try:
        with place.open() as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "a damaged zip archive"
    for ending, name in _IN_ZIP.items():
        if any(member.endswith(ending) for member in names):
            return f"a zip archive that holds {name}"
    return f"a zip archive of {len(names):,} files ({', '.join(names[:3])}{', …' * (len(names) > 3)}); unpack it"


def _encoding(place: Place, head: bytes) -> str | None:
    """Name UTF-16 and UTF-32, by a byte order mark, or by NULs at every other byte and at no other place."""
    for mark, name in _WIDE.items():
        if head.startswith(mark):
            return _converted(place, name)
    odd, even = head[1::2].count(0), head[::2].count(0)
    if min(odd, even) > 0 or max(odd, even) <= len(head) / 4:
        return None
    encoding = "UTF-16LE" if odd else "UTF-16BE"
    text = head[: len(head) // 2 * 2].decode(encoding, errors="replace")
    return _converted(place, encoding) if "\t" in text or "\n" in text else None


def _converted(place: Place, encoding: str) -> str:
    return f"encoded in {encoding}; convert it with `{conversion(place, encoding)}`"


def conversion(place: object, encoding: str) -> str:
    """Return the command that converts a file to UTF-8."""
    return f"iconv -f {encoding} -t UTF-8 {shlex.quote(str(place))} > utf8.txt"
