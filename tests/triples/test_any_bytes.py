"""Whatever bytes a file holds, it is read line by line, or refused by an error of this package."""

import bz2
import gzip
import lzma
import os
from dataclasses import replace

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import TriplesError
from tracin_dask.places.stream import input_place
from tracin_dask.triples.formats import find_format
from tracin_dask.triples.idmap import IdMap, read_id_map
from tracin_dask.triples.lines import InvalidLines
from tracin_dask.triples.names import read_edge_map, read_names
from tracin_dask.triples.shape import DELIMITERS, PLAIN, Shape
from tracin_dask.triples.text import has_sets, open_triples, read_triples

ENTITIES, RELATIONS = IdMap.of(["a", "b", "0"]), IdMap.of(["r"])
WORDS = ["a", "b", "r", "0", "1", "\t", "\t", ",", " ", ";", "|", '"', "\n", "\n", "\r\n", "\r", "\0", "é", "\ufeff",
         "{", "}", "[",
         '{"head": "a", "relation": "r", "tail": "b"}', '{"id": "a", "name": "A"}', '"head":', "null",
         "head\trelation\ttail", "\ud800",
         "id\tname", "a\tr\tb\n", "a\tr\tb\n", "a,r,b\n", "0\t0\t1\n"]  # fmt: skip
MAGIC = [
    b"",
    b"PAR1",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"BZh9",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
]
PACKERS = [
    bytes,
    gzip.compress,
    bz2.compress,
    lzma.compress,
    lambda data: pa.Codec("zstd").compress(data, asbytes=True),
]
CONTENTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=25).map(lambda words: "".join(words).encode(errors="surrogatepass")),
    st.tuples(st.sampled_from(MAGIC), st.binary(max_size=60)).map(b"".join),
)
SHAPES = st.sampled_from(
    [PLAIN]
    + [
        Shape(columns=columns, delimiter=delimiter, header=header)
        for columns in ((), ("1", "2", "3"), ("3", "1", "2"))
        for delimiter in (None, *DELIMITERS.values())
        for header in (None, True, False)
    ]
)


def check(path, shape: Shape, block_bytes: int) -> None:
    for read in (
        lambda: read_triples(path, ENTITIES, RELATIONS, shape=shape),
        lambda: list(open_triples(path, shape=shape, allow_spaces=True).tables(InvalidLines())),
        lambda: (
            has_sets(path, shape) and list(find_format(input_place(path), shape, num_columns=4).tables(InvalidLines()))
        ),
        lambda: read_id_map(path),
        lambda: read_names(path, ENTITIES),
        lambda: read_edge_map(path, RELATIONS),
        lambda: lines_are_all_read(path, shape, block_bytes),
    ):
        try:
            read()
        except TriplesError as error:
            assert str(path) in str(error)  # noqa: PT017 - an error is one of two right outcomes


def lines_are_all_read(path, shape: Shape, block_bytes: int) -> None:
    """Compare the lines that are read and those that are refused with the lines of the file."""
    invalid, data = InvalidLines(), path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    opened = replace(open_triples(path, labels=True, shape=shape), block_bytes=block_bytes)
    index = [line for table in opened.tables(invalid) for line in table.line_index.tolist()]
    number = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    blank_end = data in (b"\n", b"\r\n") or data.endswith((b"\n\n", b"\n\r\n"))
    rows_of_file = number - invalid.lines_before
    assert rows_of_file - blank_end <= len(index) + invalid.counts.total() <= max(rows_of_file, 0)
    assert index == sorted(set(index))


def read_or_refused(folder, data: bytes, shape: Shape, pack, block_bytes: int) -> None:
    path = folder.mktemp("any") / "t.txt"
    path.write_bytes(data)
    check(path, shape, block_bytes)
    if pack is not bytes:
        path.with_name("packed").write_bytes(pack(data))
        plain, packed = (outcome(name, shape) for name in (path, path.with_name("packed")))
        assert plain == packed or data.startswith(tuple(MAGIC[1:-1]))


def outcome(path, shape: Shape) -> object:
    try:
        return read_triples(path, ENTITIES, RELATIONS, shape=shape).tolist()
    except TriplesError as error:
        return str(error).replace(str(path), "FILE").replace("packed", "t.txt")


@settings(max_examples=int(os.environ.get("TRACIN_DASK_EXAMPLES", "200")))
@given(CONTENTS, SHAPES, st.sampled_from(PACKERS), st.integers(1, 40))
def test_any_bytes_are_read_line_by_line_or_refused(tmp_path_factory, data, shape, pack, block_bytes):
    read_or_refused(tmp_path_factory, data, shape, pack, block_bytes)
