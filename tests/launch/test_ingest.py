"""A text that workers ingest gives the store of one process, byte for byte, and the same messages."""

import bz2
import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from distributed import Client, LocalCluster
from dying import killed, killed_once
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_graph import local_client

from tracin_dask.errors import ClusterError, ConfigError, MemoryLimitError, StoreError, TriplesError
from tracin_dask.launch import ingest as ingest_module
from tracin_dask.launch import ingest_plan
from tracin_dask.launch.ingest import OnWorkers, why_unusable
from tracin_dask.launch.tasks import Tasks
from tracin_dask.monitor.watch import Watch
from tracin_dask.patience import Patience
from tracin_dask.places.files import read_bytes
from tracin_dask.places.objects.folder import keys_below
from tracin_dask.places.objects.place import ObjectPlace
from tracin_dask.places.registry import place_of
from tracin_dask.resources import Resources
from tracin_dask.triples import digests, entity_rows, ingest_parts, store, write
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.ingest_parts import tally_rows
from tracin_dask.triples.shape import Shape

MEMORY = 3200
"""For sorting: parts of 400 bytes."""


@pytest.fixture(scope="module")
def threads() -> Iterator[Client]:
    """Three workers that are threads of this process, so that they see what a test changes."""
    kind = {"processes": False, "n_workers": 3, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**kind) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 16 rows in chunks of 4, and parts of a text with few rows."""
    monkeypatch.setattr(ingest_plan, "LEAST_SAMPLE_ROWS", 1)
    for module in (digests, entity_rows):
        monkeypatch.setattr(module, "DIGEST_ROWS", 4)
    for module in (store, write):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    for module in (store, write, entity_rows, ingest_parts):
        monkeypatch.setattr(module, "SHARD_ROWS", 16)


def ingest_on(client: Client, train: Path, output: Path, memory_bytes: int = MEMORY, **options: Any) -> None:
    """Ingest on the workers of a client, with the options of `ingest`, and `scratch`."""
    scratch, read = options.pop("scratch", None), options.pop("options", IngestOptions())
    with Watch(client, Patience()) as watch:
        tasks = Tasks(client=client, watch=watch, remedy="try again")
        resources = Resources(num_workers=3, memory_bytes=2 * memory_bytes)
        ingest(train, output, options=read, stages=OnWorkers(tasks, resources, scratch), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_store(client: Client, folder: Path, train: Path, memory_bytes: int = MEMORY, **options: Any) -> None:
    """Ingest here and on workers; compare the stores and the id maps that are made next to them."""
    scratch = options.pop("scratch", None)
    ingest(train, folder / "one" / "graph.zarr", **options)
    ingest_on(client, train, folder / "many" / "graph.zarr", memory_bytes, scratch=scratch, **options)
    assert contents(folder / "many") == contents(folder / "one")


WORDS = st.sampled_from(["a", "b", "é", "z/ü", "日本", "\ufeffx", "10", "B"])
ROWS = st.tuples(WORDS, st.sampled_from(["r", "s"]), WORDS).map("\t".join)
LINES = st.lists(ROWS | st.sampled_from(["", "a\tr", "a\t\tb", "a\tr\rb\tc"]), max_size=120)


ENDS = st.tuples(st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n\n", "\r\n"]))
"""Of lines, and of the file."""


@pytest.mark.usefixtures("small_parts")
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, ENDS)
def test_any_text_gives_the_same_store_as_in_one_process(threads, tmp_path_factory, lines, ends):
    folder = tmp_path_factory.mktemp("ingest")
    text = ends[0].join(["a\tr\tb", *lines * 4, "b\ts\tc"]) + ends[1]
    (folder / "train.txt").write_bytes(text.encode())
    assert_same_store(threads, folder, folder / "train.txt", options=IngestOptions(skip_invalid=True))


def numbered(number: int, seed: int = 0) -> str:
    """Make lines of skewed ids, many of which are duplicates."""
    random = np.random.default_rng(seed)
    ends = np.minimum(random.geometric(0.15, (number, 2)) - 1, 40)
    return "".join(f"{head}\t{random.integers(3)}\t{tail}\n" for head, tail in ends.tolist())


@pytest.mark.usefixtures("small_parts")
def test_ids_with_and_without_id_maps_give_the_same_store(threads, tmp_path):
    train = tmp_path / "train.txt"
    train.write_text(numbered(300))
    assert_same_store(threads, tmp_path / "made", train)
    for kind, count in (("entity", 45), ("relation", 4)):
        (tmp_path / f"{kind}.tsv").write_text("".join(f"{kind}:{number}\t{number}\n" for number in range(count)))
    maps = {f"{kind}_to_id": tmp_path / f"{kind}.tsv" for kind in ("entity", "relation")}
    assert_same_store(threads, tmp_path / "given", train, scratch=place_of(tmp_path / "scratch"), **maps)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.usefixtures("small_parts")
def test_other_formats_give_the_same_store(threads, tmp_path):
    rows = [line.split("\t") for line in numbered(80).splitlines()]
    csv, packed, table = (tmp_path / name for name in ("kg.csv", "train.txt.bz2", "train.parquet"))
    csv.write_text("head,relation,tail\n" + "".join(f'"{h}, x",{r},{t}\n' for h, r, t in rows))
    packed.write_bytes(bz2.compress(numbered(80).encode()))
    columns = zip(("head", "relation", "tail"), zip(*rows, strict=True), strict=True)
    pyarrow.parquet.write_table(pa.table({name: list(column) for name, column in columns}), table)
    options = IngestOptions(shape=Shape(delimiter=",", header=True))
    assert_same_store(threads, tmp_path / "csv", csv, options=options)
    assert_same_store(threads, tmp_path / "packed", packed)
    assert_same_store(threads, tmp_path / "table", table)


def test_every_worker_gets_parts_and_the_plan_is_said_before_anything_is_read(threads, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_plan, "_LEAST_PART_BYTES", 1)
    (tmp_path / "train.txt").write_text(numbered(300))
    said: list[str] = []
    options = IngestOptions(say=said.append, progress=lambda *_: said.append("reading"))
    ingest_on(threads, tmp_path / "train.txt", tmp_path / "graph.zarr", 1 << 20, options=options)
    assert re.match(
        r"ingest of 1.8\d kiB in 13 part\(s\) on 3 worker\(s\): each sorts up to 1.00 MiB at a time", said[0]
    )
    assert re.search(r"16 bytes per triple of the scratch folder \(about 4.\d\d kiB\)", said[0])
    assert set(said[1:]) == {"reading"}


@pytest.mark.usefixtures("small_parts")
def test_what_an_interrupted_ingest_left_is_deleted(threads, tmp_path):
    train, scratch = tmp_path / "train.txt", tmp_path / "scratch"
    train.write_text(numbered(100))
    stray_shard = tmp_path / "many" / "graph.zarr.part" / "triples" / "c" / "9" / "0"
    for left in (stray_shard, scratch / "graph.zarr.part.sort" / "0.rows"):
        left.parent.mkdir(parents=True)
        left.write_bytes(b"left")
    assert_same_store(threads, tmp_path, train, scratch=place_of(scratch))
    assert list(scratch.iterdir()) == []


def test_more_workers_than_lines_give_the_same_store(threads, tmp_path):
    (tmp_path / "train.txt").write_text("a\tr\tb")
    assert_same_store(threads, tmp_path, tmp_path / "train.txt")


def message(carry_out: Callable[[], object]) -> str:
    with pytest.raises(TriplesError) as found:
        carry_out()
    return str(found.value)


MALFORMED = {
    "bad lines": ("a\tr\tb\n" * 70 + "a\tr\n" + "a\tr\tb\n" * 90 + "x\tr\ta\n\na\t\tb\n", IngestOptions()),
    "open quote": ("a,r,b\n" * 90 + 'a,"r\n' + "a,r,b\n" * 90 + 'a,"r\n', IngestOptions(shape=Shape(delimiter=","))),
    "nothing": ("\n" * 300, IngestOptions(skip_invalid=True)),
    "announced": ("200\n" + "a r b\n" * 190, IngestOptions(shape=Shape(columns=("1", "2", "3"), delimiter=" "))),
    "large id": ("5\t0\t1\n" * 90 + "20000000\t0\t5\n", IngestOptions()),
}


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("name", MALFORMED)
def test_a_text_that_cannot_be_used_is_refused_with_the_same_message(threads, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    text, options = MALFORMED[name]
    Path("train.txt").write_text(text)
    expected = message(lambda: ingest("train.txt", "graph.zarr", options=options))
    found = message(lambda: ingest_on(threads, Path("train.txt"), Path("graph.zarr"), options=options))
    assert found == expected
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


@pytest.mark.usefixtures("small_parts")
def test_unknown_labels_are_named_with_their_lines(threads, tmp_path):
    train, maps = tmp_path / "train.txt", {}
    train.write_text("alpha\tr\tbeta\n" * 50 + "alpha\tr\tbetta\n" * 2 + "alpha\tr\tbeta\n" * 50)
    for kind, labels in (("entity", ("alpha", "beta")), ("relation", ("r",))):
        maps[f"{kind}_to_id"] = tmp_path / f"{kind}.tsv"
        maps[f"{kind}_to_id"].write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(labels)))
    expected = message(lambda: ingest(train, tmp_path / "g.zarr", **maps))
    assert "line 51" in expected
    assert message(lambda: ingest_on(threads, train, tmp_path / "g.zarr", **maps)) == expected


@pytest.mark.fault("a worker does not see the text of an ingest", promised="one message that names the worker")
def test_a_worker_that_does_not_see_the_files_is_named(threads, tmp_path, monkeypatch):
    (tmp_path / "train.txt").write_text("a\tr\tb\n")
    monkeypatch.setattr(ingest_module, "why_unusable", lambda *_: "does not see them")
    with pytest.raises(ClusterError, match=r"worker inproc://\S+ does not see them; give paths on a file"):
        ingest_on(threads, tmp_path / "train.txt", tmp_path / "graph.zarr")
    assert "cannot read" in why_unusable(place_of(tmp_path / "none.txt"), 6, None)
    assert "with 6 bytes instead of 7" in why_unusable(place_of(tmp_path / "train.txt"), 7, None)
    assert "the folder" in why_unusable(place_of(tmp_path / "train.txt"), 6, place_of(tmp_path / "scratch" / "mark"))


@pytest.mark.fault("too little memory for the text of an ingest on workers", promised="one message, before any work")
def test_too_little_memory_for_a_text_is_refused_before_it_is_read(threads, tmp_path):
    (tmp_path / "train.txt").write_text(numbered(300))
    with pytest.raises(MemoryLimitError, match=r"train.txt: 3.12 kiB of a worker's memory .* give about \d+"):
        ingest_on(threads, tmp_path / "train.txt", tmp_path / "graph.zarr")
    assert not (tmp_path / "graph.zarr").exists()


def test_rows_that_were_not_written_are_found(tmp_path):
    (tmp_path / "train.txt").write_text(numbered(30))
    whole = ingest(tmp_path / "train.txt", tmp_path / "graph.zarr")
    maps = write.StoreTexts(entities=whole.entities, relations=whole.relations)
    assert tally_rows(place_of(whole.path), maps, 30).num_triples == 30
    (tmp_path / "graph.zarr" / "triples" / "c" / "0" / "0").unlink()
    with pytest.raises(StoreError, match="rows 0 to 30 were not written whole"):
        tally_rows(place_of(whole.path), maps, 30)


def keys_of(folder: ObjectPlace) -> list[str]:
    return [found["path"] for found in keys_below(folder.root, folder.key)]


def test_a_store_and_sorted_rows_in_an_object_store_are_the_same(threads, tmp_path, s3_folder):
    (tmp_path / "train.txt").write_text(numbered(40))
    ingest(tmp_path / "train.txt", f"{s3_folder}/one.zarr")
    ingest_on(threads, tmp_path / "train.txt", place_of(f"{s3_folder}/many.zarr"), 1 << 20)
    found = [
        {key.removeprefix(f"{folder.key}/"): read_bytes(f"{folder.root}/{key}") for key in keys_of(folder)}
        for folder in (place_of(f"{s3_folder}/{name}.zarr") for name in ("one", "many"))
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 20


@pytest.fixture(scope="module")
def processes() -> Iterator[Client]:
    impatient = {"distributed.comm.timeouts.connect": "2s"}  # a worker that another one asks may be dead
    with dask.config.set(impatient), local_client(2) as client:
        yield client


@pytest.mark.fault("workers are killed during an ingest", promised="the same store, byte for byte")
def test_workers_killed_during_an_ingest_change_no_byte(processes, tmp_path, monkeypatch):
    processes.wait_for_workers(2, timeout=60)
    (tmp_path / "train.txt").write_text(numbered(3_000))
    names = ("write_part_runs", "write_sorted")
    for name in names:
        files = str(tmp_path / name), str(tmp_path / "many" / "graph.zarr.part" / "triples.1f.partial")
        task = functools.partial(killed_once, getattr(ingest_module, name), *files)
        monkeypatch.setattr(ingest_module, name, task)
    assert_same_store(processes, tmp_path, tmp_path / "train.txt", memory_bytes=1 << 17)
    assert all((tmp_path / name).exists() for name in names)


@pytest.mark.fault("workers die again and again during an ingest", promised="one message; no store")
def test_workers_that_die_again_and_again_are_told(processes, tmp_path, monkeypatch):
    processes.wait_for_workers(2, timeout=60)
    (tmp_path / "train.txt").write_text("a\tr\tb\n")
    monkeypatch.setattr(ingest_module, "find_in_part", killed)
    before = processes.run_on_scheduler(allow_failures, 0)
    with pytest.raises(ClusterError, match=r"workers died repeatedly .* try again"):
        ingest_on(processes, tmp_path / "train.txt", tmp_path / "graph.zarr")
    processes.run_on_scheduler(allow_failures, before)
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def allow_failures(number: int, dask_scheduler: Any = None) -> int:
    before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, number
    return before


@pytest.mark.fault("a pipe for an ingest on workers", promised="one message with the remedy")
def test_a_pipe_is_refused_because_workers_cannot_read_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    where = ingest_module.IngestPlace(cluster=ingest_module.Auto())
    with pytest.raises(ConfigError, match=r"pipe can be read by this process only; write it to a file"):
        ingest_module.ingest_on(where, tmp_path / "pipe", tmp_path / "graph.zarr")
