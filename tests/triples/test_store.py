"""A store returns the rows that were written, and detects damage on disk."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tracin_dask.errors import StoreError
from tracin_dask.triples import digests
from tracin_dask.triples import store as store_module
from tracin_dask.triples import write as write_module
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.store import TripleStore, open_store
from tracin_dask.triples.write import smallest_integer_type

ROWS = 1000


@pytest.fixture
def _small_shards(monkeypatch):
    """Give a small graph several shards and chunks."""
    for module in (store_module, write_module):
        monkeypatch.setattr(module, "SHARD_ROWS", 256)
        monkeypatch.setattr(module, "CHUNK_ROWS", 64)
    monkeypatch.setattr(digests, "DIGEST_ROWS", 64)


@pytest.fixture
def store(write, tmp_path, _small_shards) -> TripleStore:
    random = np.random.default_rng(0)
    ids = np.stack([random.integers(0, size, ROWS) for size in (300, 5, 300)], axis=1)
    train = write("train.txt", "".join(f"e{h}\tr{r}\te{t}\n" for h, r, t in ids.tolist()))
    names = write("names.txt", "".join(f"name of {number}\t{number}\n" for number in range(250)))
    return ingest(train, tmp_path / "graph.zarr", options=IngestOptions(entity_names=names))


def shard(store: TripleStore, array: str, number: int = 0) -> Path:
    parts = [str(number), "0"] if array == "triples" else [str(number)]
    return Path(store.path, array, "c", *parts)


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0b100
    path.write_bytes(content)


def edit(path: Path, **changes: object) -> None:
    document = json.loads(path.read_text())
    document["attributes"] |= changes
    path.write_text(json.dumps(document))


def test_store_rows_are_sorted_and_keep_their_line_number(store, tmp_path):
    block = store.read(0, len(store))
    lines = (tmp_path / "train.txt").read_text().splitlines()
    keys = np.column_stack([block.triples, block.train_index]).tolist()
    assert keys == sorted(keys)
    assert sorted(block.train_index.tolist()) == list(range(ROWS))
    assert [
        f"{store.entities.label(h)}\t{store.relations.label(r)}\t{store.entities.label(t)}" for h, r, t in block.triples
    ] == [lines[index] for index in block.train_index]
    assert block.triples.dtype == block.train_index.dtype == np.int64
    assert block.triples.flags.c_contiguous


def test_any_range_of_store_rows_equals_that_slice_of_all_rows(store):
    whole = store.read(0, ROWS)
    for start, stop in [(0, 0), (0, 1), (63, 65), (200, 600), (999, 1000)]:
        part = store.read(start, stop)
        assert part.triples.tolist() == whole.triples[start:stop].tolist()
        assert part.train_index.tolist() == whole.train_index[start:stop].tolist()


def test_store_attributes_hold_the_counts(store):
    triples = store.read(0, ROWS).triples
    assert store.info.num_triples == len(store) == ROWS
    assert store.info.num_distinct_heads == len(np.unique(triples[:, 0]))
    assert store.info.num_distinct_head_relations == len(np.unique(triples[:, :2], axis=0))
    assert (store.info.num_entities, store.info.num_relations) == (len(store.entities), len(store.relations))


def test_the_store_has_the_documented_layout_on_disk(store):
    array = zarr.open_group(store.path, mode="r")["triples"]
    codecs = array.metadata.to_dict()["codecs"][0]["configuration"]["codecs"]
    assert (array.dtype, array.fill_value, array.shards, array.chunks) == (np.int16, -1, (256, 3), (64, 3))
    assert [codec["name"] for codec in codecs] == ["bytes", "zstd", "crc32c"]


@pytest.mark.parametrize(("largest", "dtype"), [(127, "int8"), (128, "int16"), (32768, "int32"), (2**31, "int64")])
def test_store_ids_use_the_smallest_signed_integer_type(largest, dtype):
    assert smallest_integer_type(largest) == np.dtype(dtype)


def test_a_pickled_store_reads_the_same_and_carries_no_arrays(store):
    assert len(store.entities)
    pickled = pickle.dumps(store)
    assert len(pickled) < 2000
    again = pickle.loads(pickled)  # noqa: S301 - made in the line above
    assert again.info == store.info
    assert again.read(5, 9).triples.tolist() == store.read(5, 9).triples.tolist()


def test_store_keeps_names_and_missing_names_are_empty(store):
    assert store.entity_names[249].as_py() == "name of 249"
    assert store.entity_names[250].as_py() == ""
    assert store.relation_names is None


def test_reading_rows_outside_the_store_is_refused(store):
    for start, stop in [(-1, 3), (0, ROWS + 1), (5, 4)]:
        with pytest.raises(StoreError, match=rf"rows {start}:{stop} of a store with 1,000 rows"):
            store.read(start, stop)


def test_opening_a_missing_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"graph.zarr: no such store; check the path"):
        open_store(tmp_path / "graph.zarr")


def test_opening_the_store_of_an_interrupted_ingest_is_refused(tmp_path):
    (tmp_path / "graph.zarr.part").mkdir()
    with pytest.raises(StoreError, match=r"its ingest was interrupted or is still running .*graph.zarr.part exists"):
        open_store(tmp_path / "graph.zarr")


def test_opening_a_text_file_as_store_is_refused(write):
    with pytest.raises(StoreError, match=r"train.txt: a file, not a tracin-dask store"):
        open_store(write("train.txt", "a\tr\tb\n"))


def test_opening_another_directory_as_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="a directory, but not a tracin-dask store"):
        open_store(tmp_path)


def test_opening_another_zarr_group_as_store_is_refused(tmp_path):
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(StoreError, match=r"other.zarr: a Zarr group, but not a tracin-dask store"):
        open_store(tmp_path / "other.zarr")


def test_a_store_of_another_format_version_is_refused(store):
    edit(Path(store.path, "zarr.json"), format_version=99)
    with pytest.raises(StoreError, match="format version 99, but this tracin-dask reads versions up to 3"):
        open_store(store.path)


@pytest.mark.parametrize("change", [{"source": "train.txt"}, {"num_triples": None}, {"source": {"name": 1}}])
def test_a_store_with_damaged_attributes_is_refused(store, change):
    edit(Path(store.path, "zarr.json"), **change)
    with pytest.raises(StoreError, match="damaged attributes"):
        open_store(store.path)


def test_a_store_with_truncated_metadata_is_refused(store):
    path = Path(store.path, "zarr.json")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="not a Zarr store that can be read"):
        open_store(store.path)


@pytest.mark.parametrize("array", ["triples", "train_index", "entity_label", "relation_label"])
def test_a_store_with_a_missing_array_is_refused(store, array):
    shutil.rmtree(Path(store.path, array))
    with pytest.raises(StoreError, match=f"the array {array} is missing"):
        open_store(store.path)


def test_a_store_whose_array_lengths_contradict_its_attributes_is_refused(store):
    file = Path(store.path, "triples", "zarr.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"shape": [999, 3]}))
    with pytest.raises(StoreError, match=r"triples has the shape \(999, 3\), but the attributes say \(1000, 3\)"):
        open_store(store.path)


@pytest.mark.parametrize("array", ["triples", "train_index"])
def test_a_missing_store_shard_is_not_read_as_triples(store, array):
    shard(store, array, 1).unlink()
    assert len(store.read(0, 256)) == 256
    with pytest.raises(StoreError, match=r"row 256 holds .*a shard is missing or damaged"):
        open_store(store.path).read(0, ROWS)


@pytest.mark.parametrize("array", ["triples", "train_index"])
@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_truncated_store_shard_is_refused(store, array, keep):
    path = shard(store, array)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match=rf"{array}\[0:1000\] is damaged .*ingest|a shard is missing .*ingest"):
        open_store(store.path).read(0, ROWS)


@pytest.mark.parametrize("array", ["triples", "train_index"])
def test_a_flipped_bit_anywhere_in_a_store_shard_is_detected(store, array):
    path = shard(store, array)
    pristine = path.read_bytes()
    for offset in range(0, len(pristine), max(1, len(pristine) // 40)):
        flip(path, offset)
        with pytest.raises(StoreError, match=f"{array}.* is damaged|a shard is missing or damaged"):
            open_store(store.path).read(0, ROWS)
        path.write_bytes(pristine)


def test_a_stored_id_beyond_the_graph_is_refused(store):
    zarr.open_group(store.path, mode="r+")["triples"][300, 0] = 5000
    with pytest.raises(StoreError, match=r"row 300 holds \[5000, .*expected ids from 0 below"):
        open_store(store.path).read(0, ROWS)


@pytest.mark.parametrize("array", ["entity_label", "entity_name", "relation_label"])
def test_missing_label_shards_are_not_read_as_empty_labels(store, array):
    shard(store, array).unlink()
    with pytest.raises(StoreError, match=f"a part of {array} is missing"):
        read_texts(store, array)


@pytest.mark.parametrize("array", ["entity_label", "entity_name"])
def test_a_flipped_bit_in_a_store_label_is_detected(store, array):
    flip(shard(store, array), 40)
    with pytest.raises(StoreError, match=f"{array}.* is damaged"):
        read_texts(store, array)


def read_texts(store: TripleStore, array: str) -> object:
    opened = open_store(store.path)
    names = {"entity_label": "entities", "relation_label": "relations", "entity_name": "entity_names"}
    return getattr(opened, names[array])


def test_a_name_array_of_the_wrong_length_is_refused(store):
    group = zarr.open_group(store.path, mode="r+")
    group["entity_name_end"].resize((7,))
    with pytest.raises(StoreError, match=r"entity_name has the shape \(7,\)"):
        open_store(store.path)


def test_a_name_array_that_ends_too_soon_is_refused(store):
    zarr.open_group(store.path, mode="r+")["entity_name"].resize((7,))
    with pytest.raises(StoreError, match="entity_name is damaged"):
        read_texts(store, "entity_name")


def test_reading_a_store_that_was_replaced_after_opening_is_refused(store, write):
    opened = pickle.loads(pickle.dumps(store))  # noqa: S301 - made in this line
    ingest(write("other.txt", "e1\tr1\te2\n"), store.path.replace("graph", "new"))
    shutil.rmtree(store.path)
    Path(store.path.replace("graph", "new")).rename(store.path)
    with pytest.raises(StoreError, match="the store was replaced by another one"):
        opened.read(0, 1)
