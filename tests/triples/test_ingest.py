"""Ingesting text: given or made id maps, skipped or refused lines, full disks, concurrent writers."""

import dataclasses
import errno
import fcntl
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import StoreError, TriplesError
from tracin_dask.triples import cached, digests
from tracin_dask.triples import ingest as ingest_module
from tracin_dask.triples import store as store_module
from tracin_dask.triples import write as write_module
from tracin_dask.triples.idmap import IdMap, id_maps_sha256, read_id_map, write_id_map
from tracin_dask.triples.ingest import IngestOptions, ingest, ingest_cached
from tracin_dask.triples.store import TripleStore, open_store

TRAIN = "b\tr\ta\na\ts\tc\nb\tr\ta\na\tr\tb\n"


def labelled(store: TripleStore) -> list[tuple[str, str, str, int]]:
    block = store.read(0, len(store))
    return [
        (store.entities.label(h), store.relations.label(r), store.entities.label(t), int(index))
        for (h, r, t), index in zip(block.triples, block.train_index, strict=True)
    ]


def names(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


def test_given_id_maps_are_used_unchanged(write, tmp_path):
    entities = write("entities.tsv", "c\t0\nb\t1\na\t2\nunused\t3\n")
    relations = write("relations.tsv", "s\t0\nr\t1\n")
    store = ingest(write("train.txt", TRAIN), tmp_path / "g.zarr", entity_to_id=entities, relation_to_id=relations)
    assert store.read(0, 4).triples.tolist() == [[1, 1, 2], [1, 1, 2], [2, 0, 0], [2, 1, 1]]
    assert store.read(0, 4).train_index.tolist() == [0, 2, 1, 3]
    assert store.info.num_entities == 4
    assert store.info.id_maps_sha256 == id_maps_sha256(read_id_map(entities), read_id_map(relations, "relation"))
    assert store.info.source.name == "train.txt"
    assert store.info.source.size_bytes == len(TRAIN)
    assert names(tmp_path) == {"train.txt", "entities.tsv", "relations.tsv", "g.zarr"}


def test_missing_id_maps_are_made_sorted_and_written_next_to_the_store(write, tmp_path):
    store = ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr")
    assert (tmp_path / "graph.entity_to_id.tsv").read_text() == "a\t0\nb\t1\nc\t2\n"
    assert (tmp_path / "graph.relation_to_id.tsv").read_text() == "r\t0\ns\t1\n"
    assert labelled(store) == [("a", "r", "b", 3), ("a", "s", "c", 1), ("b", "r", "a", 0), ("b", "r", "a", 2)]


def test_only_the_id_map_that_is_missing_is_made(write, tmp_path):
    entities = write("entities.tsv", "c\t0\nb\t1\na\t2\n")
    store = ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr", entity_to_id=entities)
    assert store.entities.labels.to_pylist() == ["c", "b", "a"]
    assert names(tmp_path) == {"train.txt", "entities.tsv", "graph.zarr", "graph.relation_to_id.tsv"}


def test_a_file_of_ids_without_maps_keeps_its_ids(write, tmp_path):
    store = ingest(write("train.txt", "5\t1\t0\n2\t0\t5\n"), tmp_path / "graph.zarr")
    assert store.read(0, 2).triples.tolist() == [[2, 0, 5], [5, 1, 0]]
    assert store.entities.labels.to_pylist() == ["0", "1", "2", "3", "4", "5"]
    assert store.relations.labels.to_pylist() == ["0", "1"]


def test_integers_are_read_as_labels_with_the_labels_option(write, tmp_path):
    train = write("train.txt", "500\t1\t7\n")
    store = ingest(train, tmp_path / "graph.zarr", options=IngestOptions(labels=True))
    assert store.entities.labels.to_pylist() == ["500", "7"]


def test_an_id_far_above_the_number_of_triples_needs_an_id_map(write, tmp_path):
    with pytest.raises(TriplesError, match=r"largest entity id is 99,999,999 in a file of 1 triples; .*--entity-to-id"):
        ingest(write("train.txt", "99999999\t1\t7\n"), tmp_path / "graph.zarr")


COUNTED = "a\tr\tb\na\tr\tb\na\tr\tb\nb\ts\tb\nb\ts\tb\na\ts\ta\n"


def test_duplicates_self_loops_and_unused_labels_are_counted(write, tmp_path):
    maps = {
        "entity_to_id": write("e.tsv", "x\t0\na\t1\nb\t2\ny\t3\n"),
        "relation_to_id": write("r.tsv", "s\t0\nr\t1\nq\t2\n"),
    }
    store = ingest(write("train.txt", COUNTED), tmp_path / "graph.zarr", **maps)
    expected = {"duplicates": 3, "self-loops": 3, "unused entities": 2, "unused relations": 1}
    assert store.info.counts == expected
    assert store.unused_entities.tolist() == [0, 3]
    made = ingest(write("train.txt", TRAIN), tmp_path / "made.zarr")
    assert made.info.counts == {"duplicates": 1, "self-loops": 0, "unused entities": 0, "unused relations": 0}
    assert made.unused_entities.tolist() == []


@settings(max_examples=20)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=40), st.integers(1, 12))
def test_counts_do_not_depend_on_where_shards_end(tmp_path_factory, rows, shard_rows):
    folder = tmp_path_factory.mktemp("counts")
    (folder / "train.txt").write_text("".join(f"e{h}\tr{r}\te{t}\n" for h, r, t in rows))
    (folder / "e.tsv").write_text("".join(f"e{number}\t{number}\n" for number in range(5)))
    with pytest.MonkeyPatch.context() as patch:
        for module in (store_module, write_module):
            patch.setattr(module, "SHARD_ROWS", shard_rows)
            patch.setattr(module, "CHUNK_ROWS", 1)
        store = ingest(folder / "train.txt", folder / "g.zarr", entity_to_id=folder / "e.tsv")
        unused = store.unused_entities.tolist()
    assert store.info.counts["duplicates"] == len(rows) - len(set(rows))
    assert store.info.counts["self-loops"] == sum(h == t for h, _, t in rows)
    assert unused == sorted(set(range(5)) - {part for h, _, t in rows for part in (h, t)})


def test_a_store_without_counts_is_read_and_says_that_nothing_is_known(write, tmp_path):
    store = ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr")
    path = tmp_path / "graph.zarr" / "zarr.json"
    contents = json.loads(path.read_text())
    for name in ("counts", "digests", digests.ATTRIBUTES_DIGEST):
        del contents["attributes"][name]
    contents["attributes"]["format_version"] = 1
    path.write_text(json.dumps(contents))
    older = open_store(tmp_path / "graph.zarr")
    assert (older.info.counts, older.unused_entities) == ({}, None)
    assert labelled(older) == labelled(ingest(tmp_path / "train.txt", tmp_path / "again.zarr"))
    assert older.info.fingerprint == store.info.fingerprint


def test_an_existing_different_id_map_is_not_overwritten(write, tmp_path):
    write("graph.entity_to_id.tsv", "mine\t0\n")
    with pytest.raises(
        TriplesError, match=r"graph.entity_to_id.tsv: exists and differs .* pass it with --entity-to-id"
    ):
        ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr")
    assert names(tmp_path) == {"train.txt", "graph.entity_to_id.tsv"}


def test_invalid_lines_stop_the_ingest_and_leave_no_files(write, tmp_path):
    train = write("train.txt", TRAIN + "a\tr\nx\tr\ta\n")
    maps = {"entity_to_id": write("e.tsv", "a\t0\nb\t1\nc\t2\n"), "relation_to_id": write("r.tsv", "r\t0\ns\t1\n")}
    before = names(tmp_path)
    with pytest.raises(TriplesError, match=r"(?s)2 lines cannot be used: .*line 5: .*line 6: .*--skip-invalid"):
        ingest(train, tmp_path / "graph.zarr", **maps)
    assert names(tmp_path) == before


def test_skipped_lines_are_counted_by_kind_and_leave_gaps_in_train_index(write, tmp_path):
    train = write("train.txt", "a\tr\n" + TRAIN + "\nx\tr\ta\ny\tr\ta\na\tr\tb\n")
    maps = {"entity_to_id": write("e.tsv", "a\t0\nb\t1\nc\t2\n"), "relation_to_id": write("r.tsv", "r\t0\ns\t1\n")}
    store = ingest(train, tmp_path / "graph.zarr", **maps, options=IngestOptions(skip_invalid=True))
    assert dict(store.info.skipped) == {"wrong number of columns": 1, "blank line": 1, "unknown head label": 2}
    assert sorted(store.read(0, len(store)).train_index.tolist()) == [1, 2, 3, 4, 8]


@pytest.mark.parametrize(("text", "skipped"), [("", 0), ("\n", 0), ("a\t\tb\n", 1)])
def test_ingest_refuses_a_text_file_without_triples(write, tmp_path, text, skipped):
    train = write("train.txt", text)
    with pytest.raises(TriplesError, match=rf"train.txt: no triples in {len(text)} bytes \({skipped} lines skipped\)"):
        ingest(train, tmp_path / "graph.zarr", options=IngestOptions(skip_invalid=True))
    assert names(tmp_path) == {"train.txt"}


def test_ingest_refuses_a_missing_text_file(tmp_path):
    with pytest.raises(TriplesError, match=r"none.txt: cannot be read: No such file or directory"):
        ingest(tmp_path / "none.txt", tmp_path / "graph.zarr")


def test_ingest_refuses_an_existing_store_without_overwrite(write, tmp_path):
    ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr")
    other = write("other.txt", "a\tr\tb\nb\ts\tc\n")
    with pytest.raises(StoreError, match=r"graph.zarr: exists already; .*--overwrite"):
        ingest(other, tmp_path / "graph.zarr")
    assert len(open_store(tmp_path / "graph.zarr")) == 4
    assert len(ingest(other, tmp_path / "graph.zarr", options=IngestOptions(overwrite=True))) == 2
    assert not any(".part" in name or ".replaced" in name for name in names(tmp_path))


def test_the_partial_store_of_an_interrupted_ingest_is_replaced(write, tmp_path):
    train = write("train.txt", TRAIN)
    (tmp_path / "graph.zarr.part" / "triples" / "c").mkdir(parents=True)
    write("graph.zarr.part/zarr.json", "{")
    assert len(ingest(train, tmp_path / "graph.zarr")) == 4
    assert names(tmp_path / "graph.zarr") == {
        "zarr.json",
        "triples",
        "train_index",
        "row_digest",
        "entity_label",
        "entity_label_end",
        "entity_rows",
        "relation_label",
        "relation_label_end",
    }


def test_a_second_writer_of_the_same_store_is_refused(write, tmp_path):
    part = tmp_path / "graph.zarr.part"
    part.mkdir()
    with (part / ".writer").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"graph.zarr.part: another process is writing here"):
            ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr")
    assert part.exists()


@pytest.mark.parametrize("target", ["sort_triples", "write_store"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_no_store_and_the_error_states_free_and_needed_bytes(
    write, tmp_path, monkeypatch, target, code
):
    def fail(*_args, **_options):
        raise OSError(code, "full")

    monkeypatch.setattr(ingest_module, target, fail)
    with pytest.raises(
        StoreError, match=r"disk is full: [\d,]+ bytes were free, up to [\d,]+ are needed; no store was"
    ):
        ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr")
    assert names(tmp_path) == {"train.txt"}


def test_other_system_errors_during_ingest_are_named_and_leave_no_files(write, tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(ingest_module, "write_store", fail)
    with pytest.raises(StoreError, match=r"graph\.zarr: cannot be written: the disk reports an error"):
        ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr")
    assert names(tmp_path) == {"train.txt"}


def test_an_output_path_that_cannot_be_written_is_named(write):
    train = write("train.txt", TRAIN)
    with pytest.raises(StoreError, match=r"graph\.zarr: cannot be written: a part of its path is a file, not a folder"):
        ingest(train, train / "graph.zarr")


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 2000), st.integers(16, 80), st.integers(0, 3))
def test_the_store_fingerprint_does_not_depend_on_memory_or_shards(tmp_path_factory, memory_bytes, shard_rows, seed):
    directory = tmp_path_factory.mktemp("ingest")
    rows = np.random.default_rng(seed).integers(0, 9, (60, 3)).tolist()
    (directory / "train.txt").write_text("".join(f"e{h}\tr{r}\te{t}\n" for h, r, t in rows))
    plain = ingest(directory / "train.txt", directory / "plain.zarr")
    with pytest.MonkeyPatch.context() as patch:
        for module in (store_module, write_module):
            patch.setattr(module, "SHARD_ROWS", shard_rows // 4 * 4)
            patch.setattr(module, "CHUNK_ROWS", shard_rows // 4)
        patch.setattr(ingest_module, "MAX_LINE_BYTES", 64)  # blocks of a few lines
        cut = ingest(directory / "train.txt", directory / "cut.zarr", options=IngestOptions(memory_bytes=memory_bytes))
    assert labelled(cut) == labelled(plain)
    assert cut.info == plain.info


def test_the_store_fingerprint_depends_on_triples_lines_and_id_maps(write, tmp_path):
    def fingerprint(name: str, text: str, entities: str = "a\t0\nb\t1\nc\t2\n") -> str:
        maps = {"entity_to_id": write("e.tsv", entities), "relation_to_id": write("r.tsv", "r\t0\ns\t1\n")}
        return ingest(write("train.txt", text), tmp_path / name, **maps).info.fingerprint

    found = {
        fingerprint("0.zarr", TRAIN),
        fingerprint("1.zarr", "".join(sorted(TRAIN.splitlines(keepends=True)))),
        fingerprint("2.zarr", TRAIN.replace("s", "r")),
        fingerprint("3.zarr", TRAIN, "a\t0\nb\t1\nd\t2\nc\t3\n".replace("d\t2\nc\t3", "c\t2\nd\t3")),
    }
    assert len(found) == 4
    assert fingerprint("4.zarr", TRAIN) in found


def test_ingest_progress_reaches_the_total_of_every_stage(write, tmp_path):
    seen: dict[str, tuple[int, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        assert done >= seen.get(stage, (0, 0))[0]
        seen[stage] = (done, total)

    ingest(write("train.txt", TRAIN), tmp_path / "graph.zarr", options=IngestOptions(progress=progress))
    size = len(TRAIN)
    by_bytes, by_rows = dict.fromkeys(("reading labels", "reading triples"), (size, size)), (128, 128)
    assert seen == by_bytes | dict.fromkeys(("writing store", "indexing entities"), by_rows)


def test_a_cached_store_is_made_once_per_file_content(write, tmp_path, monkeypatch):
    train, cache = write("train.txt", TRAIN), tmp_path / "cache"
    first = ingest_cached(train, cache)
    monkeypatch.setattr(ingest_module, "ingest", lambda *_args, **_options: pytest.fail("ingested twice"))
    assert ingest_cached(train, cache) == first
    monkeypatch.undo()
    assert ingest_cached(write("train.txt", TRAIN + "c\tr\ta\n"), cache).path != first.path
    assert ingest_cached(train, cache, options=IngestOptions(skip_invalid=True)).path != first.path
    entities = write("entities.tsv", "c\t0\nb\t1\na\t2\n")
    assert ingest_cached(train, cache, entity_to_id=entities).entities.label(0) == "c"


def test_the_store_cache_waits_for_another_writer_and_uses_its_store(write, tmp_path, monkeypatch):
    train, cache = write("train.txt", TRAIN), tmp_path / "cache"
    inside, go_on = threading.Event(), threading.Event()
    write_store, calls = ingest_module.write_store, []

    def slow(*args, **options):
        calls.append(args)
        inside.set()
        assert go_on.wait(30)
        return write_store(*args, **options)

    monkeypatch.setattr(ingest_module, "write_store", slow)
    monkeypatch.setattr(cached, "POLL_SECONDS", 0.01)
    writer = threading.Thread(target=ingest_cached, args=(train, cache))
    writer.start()
    assert inside.wait(30)
    threading.Timer(0.2, go_on.set).start()
    store = ingest_cached(train, cache)
    writer.join()
    assert len(calls) == 1
    assert labelled(store) == labelled(open_store(store.path))


def test_ingest_options_are_frozen_values():
    assert dataclasses.replace(IngestOptions(), labels=True) == IngestOptions(labels=True)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("umls", (5216, 135, 46)),
        ("nations", (1592, 14, 55)),
        ("kinships", (8544, 104, 25)),
        ("codex-s", (32888, 2034, 42)),
    ],
)
def test_public_graphs_have_their_published_sizes(data, tmp_path, name, counts):
    store = ingest(data / name / "train.txt", tmp_path / "graph.zarr")
    assert (len(store), store.info.num_entities, store.info.num_relations) == counts
    lines = (data / name / "train.txt").read_text().splitlines()
    assert all("\t".join(row[:3]) == lines[row[3]] for row in labelled(store)[::97])


def test_ingest_keeps_id_maps_names_and_qualifiers_of_a_real_graph(data, tmp_path):
    folder = data / "hetionet-lite"
    options = IngestOptions(entity_names=folder / "node_name_dict.txt", edge_map=folder / "edge_map.json")
    maps = {"entity_to_id": folder / "node_dict.txt", "relation_to_id": folder / "rel_dict.txt"}
    store = ingest(folder / "train.txt", tmp_path / "graph.zarr", **maps, options=options)
    readable = store.relation_names.to_pylist()
    assert (len(store), store.info.num_entities, store.info.num_relations) == (59_551, 19_943, 16)
    assert store.entity_names[0].as_py() == "idiopathic pulmonary fibrosis"
    assert "biolink:affects (expression, increased)" in readable
    assert len(set(readable)) == 16
    write_id_map(tmp_path / "again.tsv", store.entities)
    assert (tmp_path / "again.tsv").read_bytes() == maps["entity_to_id"].read_bytes()
    assert isinstance(store.relations, IdMap)
