"""Files are opened as text: decompressed by their first bytes, or named for what they are."""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from tracin_dask.errors import TriplesError
from tracin_dask.triples.idmap import IdMap, read_id_map
from tracin_dask.triples.ingest import ingest
from tracin_dask.triples.lines import read_blocks
from tracin_dask.triples.names import read_edge_map, read_names
from tracin_dask.triples.text import read_triples

ENTITIES, RELATIONS = IdMap.of(["a", "b", "c"]), IdMap.of(["r", "s"])
TEXT = b"".join(b"a\tr\tb\nc\ts\ta\n" for _ in range(3000))


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}
packed = pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)


@packed
def test_a_compressed_file_is_read_whatever_its_name(write, pack):
    plain = list(read_blocks(write("plain.txt", TEXT), block_bytes=1 << 10))
    assert list(read_blocks(write("train.txt", pack(TEXT)), block_bytes=1 << 10)) == plain


@packed
def test_all_parts_of_a_compressed_file_are_read(write, pack):
    lines = read_triples(write("train.txt", pack(b"a\tr\tb\n") + pack(b"c\ts\ta\n")), ENTITIES, RELATIONS)
    assert lines.tolist() == [[0, 0, 1], [2, 1, 0]]


def test_padding_between_the_parts_of_an_xz_file_is_no_text(write):
    padded = lzma.compress(b"a\tr\tb\n") + b"\0" * 8 + lzma.compress(b"c\ts\ta\n") + b"\0" * 4
    assert len(read_triples(write("train.txt", padded), ENTITIES, RELATIONS)) == 2


@pytest.mark.fault("a damaged compressed file", promised="one message")
@packed
@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data + b"a\tr\tb\n"], ids=["cut", "appended"])
def test_a_damaged_compressed_file_is_refused(write, pack, damage):
    path = write("train.txt", damage(pack(TEXT)))
    with pytest.raises(TriplesError, match=r"train.txt: a damaged compressed file: .*; download or compress it again"):
        read_triples(path, ENTITIES, RELATIONS)


@pytest.mark.fault("a file that was compressed twice", promised="one message with the remedy")
@packed
def test_a_file_that_was_compressed_twice_is_refused(write, pack):
    with pytest.raises(TriplesError, match=r"train.txt: the file is compressed twice; decompress it once"):
        read_triples(write("train.txt", pack(gzip.compress(TEXT))), ENTITIES, RELATIONS)
    with pytest.raises(TriplesError, match=r"train.txt: the file is compressed twice; decompress it once"):
        read_triples(write("train.txt", gzip.compress(pack(TEXT))), ENTITIES, RELATIONS)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_label_may_begin_as_a_file_of_bzip2_does(write, pack):
    text = pack(b"BZh9\tr\tBZhang\n")
    assert read_triples(write("train.txt", text), IdMap.of(["BZh9", "BZhang"]), RELATIONS).tolist() == [[0, 0, 1]]


@packed
def test_a_compressed_file_of_nothing_is_empty(write, pack):
    with pytest.raises(TriplesError, match=r"train.txt: the file has no triples"):
        read_triples(write("train.txt", pack(b"")), ENTITIES, RELATIONS)


@packed
def test_id_maps_names_and_edge_maps_may_be_compressed(write, pack):
    assert read_id_map(write("e.tsv", pack(b"a\t0\nb\t1\n"))).labels.to_pylist() == ["a", "b"]
    assert read_names(write("n.tsv", pack(b"Bee\t1\n")), IdMap.of("ab")).to_pylist() == ["", "Bee"]
    edges = pack(b'{"{\\"predicate\\": \\"treats\\"}": "r"}')
    assert read_edge_map(write("edge_map.json", edges), RELATIONS).to_pylist() == ["treats", ""]


def test_the_source_of_a_store_is_the_compressed_file_itself(write, tmp_path):
    data = gzip.compress(TEXT)
    source = ingest(write("train.txt.gz", data), tmp_path / "graph.zarr").info.source
    assert (source.name, source.size_bytes) == ("train.txt.gz", len(data))
    assert source.sha256 == hashlib.sha256(data).hexdigest()


def _zip(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return sink.getvalue()


def _tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("train.txt"))
    return sink.getvalue()


def _npy() -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.zeros((2, 3), np.int64))
    return sink.getvalue()


@pytest.mark.fault(
    "a pointer of git-lfs, a web page, an array, an archive", promised="one message that names what it is"
)
@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a git-lfs pointer, .*`git lfs pull`"),
        (
            TEXT.replace(b"\n", b"\r"),
            r"one of lines that end in a carriage return alone, .* `tr '.r' '.n' < .*t.txt > lines",
        ),
        (b"\n<!DOCTYPE html>\n<html></html>", "an HTML page, perhaps of a download that failed"),
        (b'<?xml version="1.0"?>', "an XML document"),
        (_npy(), r"a NumPy array \(.npy\)"),
        (_zip(archive__data_pkl=b"x"), "a zip archive that holds a PyTorch file"),
        (_zip(xl__workbook_xml=b"x"), "a zip archive that holds an Excel workbook"),
        (_zip(a_npy=b"x"), r"a zip archive that holds NumPy arrays \(.npz\)"),
        (_zip(train_txt=TEXT, test_txt=b""), r"a zip archive of 2 files \(train.txt, test.txt\); unpack it"),
        (b"PK\x03\x04cut", "a damaged zip archive"),
        (_tar(), "a tar archive; unpack it"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x80\x04\x95", "a Python pickle"),
        ("a\tr\tb\n".encode("utf-16"), "encoded in UTF-16; convert it with `iconv -f UTF-16 -t UTF-8 .*t.txt > utf8"),
        ("a\tr\tb\n".encode("utf-16-le"), "encoded in UTF-16LE; convert it with `iconv -f UTF-16LE"),
        ("a\tr\tb\n".encode("utf-16-be"), "encoded in UTF-16BE; convert it with `iconv -f UTF-16BE"),
        ("a\tr\tb\n".encode("utf-32"), "encoded in UTF-32; convert it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_text_is_named(write, data, named):
    path = write("t.txt", data)
    for read in (lambda: read_triples(path, ENTITIES, RELATIONS), lambda: read_id_map(path)):
        with pytest.raises(
            TriplesError, match=rf"t.txt: the file is {named}.*; expected a text file of lines in UTF-8"
        ):
            read()


@pytest.mark.fault("text in Latin-1", promised="one message with the remedy")
@pytest.mark.parametrize(
    ("encoding", "name", "code"), [("latin-1", "Latin-1", "LATIN1"), ("cp1252", "Windows-1252", "WINDOWS-1252")]
)
def test_latin_1_is_named_with_the_command_that_converts_it(write, encoding, name, code):
    word = "café" if encoding == "latin-1" else "“a”"
    path = write("t.txt", f"a\tr\tb\n{word}\tr\tb\n".encode(encoding))
    with pytest.raises(
        TriplesError, match=rf"(?s)line 2: invalid UTF-8.*not in UTF-8, probably in {name}: .*`iconv -f {code} -t UTF-8"
    ):
        read_triples(path, ENTITIES, RELATIONS)


@pytest.mark.fault("a folder in place of a text file", promised="one message")
def test_a_folder_is_named(tmp_path):
    with pytest.raises(TriplesError, match="cannot be read: Is a directory"):
        read_triples(tmp_path, ENTITIES, RELATIONS)
