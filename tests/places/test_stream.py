"""Pipes and standard input are read once and completely, whatever is asked of them."""

import gzip
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tracin_dask.errors import PlaceError, TriplesError
from tracin_dask.places.stream import Stream, input_place
from tracin_dask.triples.group_ingest import ingest_groups_cached
from tracin_dask.triples.idmap import IdMap, read_id_map
from tracin_dask.triples.ingest import IngestOptions, ingest, ingest_cached
from tracin_dask.triples.names import read_edge_map, read_names
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.tests_in_file import read_tests_in_sets
from tracin_dask.triples.text import has_sets, read_triples
from tracin_dask.triples.training_triples import read_training_triples

NUM_LINES = 200_000


@contextmanager
def piped(data: bytes) -> Iterator[str]:
    """Give the path of a pipe that a thread fills, as a process substitution of a shell does."""
    reading, writing = os.pipe()

    def fill() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=fill)
    thread.start()
    yield f"/dev/fd/{reading}"
    thread.join()
    os.close(reading)


@pytest.fixture(scope="module")
def lines() -> bytes:
    return b"".join(b"entity%d\trel%d\tentity%d\n" % (n % 9973, n % 13, n * 7 % 9967) for n in range(NUM_LINES))


@pytest.fixture(scope="module")
def plain(lines, tmp_path_factory) -> TripleStore:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "train.txt").write_bytes(lines)
    return ingest(folder / "train.txt", folder / "graph.zarr")


@pytest.mark.fault("a pipe in place of a file", promised="all its lines are read, once")
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_all_lines_of_a_pipe_are_ingested(lines, plain, tmp_path, pack):
    with piped(pack(lines)) as path:
        store = ingest(path, tmp_path / "graph.zarr")
    assert (len(store), store.info.fingerprint) == (NUM_LINES, plain.info.fingerprint)


def test_all_lines_of_a_pipe_are_ingested_into_the_cache(lines, plain, tmp_path):
    with piped(lines) as path:
        store = ingest_cached(path, tmp_path / "cache")
    assert store.info.fingerprint == plain.info.fingerprint


def test_all_lines_of_a_named_pipe_are_ingested(lines, plain, tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    thread = threading.Thread(target=lambda: (tmp_path / "train.txt").write_bytes(lines))
    thread.start()
    store = ingest(tmp_path / "train.txt", tmp_path / "graph.zarr")
    thread.join()
    assert store.info.fingerprint == plain.info.fingerprint


@pytest.mark.parametrize("argument", ["-", "/dev/stdin"])
def test_the_command_line_reads_standard_input_to_its_end(lines, plain, tmp_path, argument):
    words = [sys.executable, "-m", "tracin_dask", "ingest", argument, "-o", "graph.zarr"]
    done = subprocess.run(words, input=lines, cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert b"training triples  200,000" in done.stdout
    assert (tmp_path / "graph.entity_to_id.tsv").read_bytes().count(b"\n") == plain.info.num_entities


def test_maps_tests_names_groups_and_lists_may_be_pipes(lines, tmp_path):
    number = NUM_LINES // 20  # still more than a pipe holds
    with piped(b"".join(lines.splitlines(keepends=True)[:number])) as path:
        plain = ingest(path, tmp_path / "graph.zarr")
    entities, relations = plain.entities, plain.relations
    triples = plain.read(0, len(plain)).triples
    ids = "".join(f"{h}\t{r}\t{t}\n" for h, r, t in triples.tolist()).encode()
    with piped(
        "".join(f"{label}\t{number}\n" for number, label in enumerate(entities.labels.to_pylist())).encode()
    ) as path:
        assert read_id_map(path).labels.equals(entities.labels)
    with piped(ids) as path:
        assert (read_triples(path, entities, relations) == triples).all()
    with piped(ids.replace(b"\n", b"\tset\n")) as path:
        place = input_place(path)
        assert has_sets(place)
        assert len(read_tests_in_sets(place, plain).triples) == number
    with piped(ids.replace(b"\n", b"\tgroup\n")) as path:
        assert ingest_groups_cached(path, plain, tmp_path).info.num_triples == number
    with piped(ids) as path:
        assert len(read_training_triples(path, plain)) == number
    with piped(b"Bee\t1\n") as path:
        assert read_names(path, entities)[1].as_py() == "Bee"
    with piped(b'{"{\\"predicate\\": \\"treats\\"}": "r"}') as path:
        assert read_edge_map(path, IdMap.of("r")).to_pylist() == ["treats"]


def test_a_stored_graph_names_the_pipe_and_no_temporary_file_is_left(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with piped(b"a\tr\tb\n") as path:
        place = input_place(path)
        assert ingest(place, tmp_path / "graph.zarr").info.source.name == Path(path).name
        assert list((tmp_path / "temporary").iterdir()) == []
        for _ in range(2):
            with place.open() as file:
                assert file.read() == b"a\tr\tb\n"


def test_errors_name_the_pipe(tmp_path):
    with piped(b"a\tr\n") as path, pytest.raises(TriplesError, match=f"{path}: 2 columns separated by tabs found"):
        ingest(path, tmp_path / "graph.zarr")


def test_a_full_folder_of_temporary_files_is_named(monkeypatch):
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with piped(b"a") as path, pytest.raises(PlaceError, match=r"cannot be copied to a temporary file in .*TMPDIR"):
        input_place(path).open()


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(path, tmp_path):
    with pytest.raises(PlaceError, match=f"{path}: a device or a socket; expected a file, a pipe or `-`"):
        ingest(path, tmp_path / "graph.zarr")


def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(PlaceError, match="a device or a socket"):
            ingest(tmp_path / "socket", tmp_path / "graph.zarr")


def test_standard_input_that_is_empty_or_closed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(TriplesError, match="standard input: no triples in 0 bytes"):
        ingest("-", tmp_path / "graph.zarr", options=IngestOptions(skip_invalid=True))
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(PlaceError, match="standard input is closed; name a file"):
        ingest("-", tmp_path / "graph.zarr")


def test_a_regular_file_is_no_stream(tmp_path):
    (tmp_path / "train.txt").write_text("a\tr\tb\n")
    assert not isinstance(input_place(tmp_path / "train.txt"), Stream)
    assert not isinstance(input_place(tmp_path / "missing.txt"), Stream)
