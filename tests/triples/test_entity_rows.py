"""The index entity → rows lists exactly the rows that touch an entity; a damaged or foreign index is refused."""

import contextlib
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from tracin_dask.errors import StoreError
from tracin_dask.triples import digests, entity_rows, neighbourhood, store, write
from tracin_dask.triples.entity_rows import FOLDER, find_entity_rows, write_entity_rows
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.neighbourhood import Neighbourhood, counted_neighbourhood
from tracin_dask.triples.store import TripleStore, open_store

NUM_ENTITIES, NUM_ROWS, NUM_FLIPS = 23, 300, 60


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of 16 rows in chunks of 4, so that a small store has several."""
    for module in (digests, neighbourhood, entity_rows):
        monkeypatch.setattr(module, "DIGEST_ROWS", 4)
    for module in (store, write):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    for module in (store, write, entity_rows):
        monkeypatch.setattr(module, "SHARD_ROWS", 16)
    monkeypatch.setattr(neighbourhood, "STEP_ROWS", 12)


def make(folder: Path, name: str = "graph", *, seed: int = 1, memory_bytes: int = 2**30) -> TripleStore:
    """Ingest a graph whose first entities are hubs; entity 22 is no head, 21 no tail, and 20 touches nothing."""
    numbers = np.random.default_rng(seed)
    skewed = np.minimum(numbers.geometric(0.2, (NUM_ROWS, 2)) - 1, 19)
    skewed[::50, 0], skewed[1::60, 1] = 21, 22
    lines = (f"{head}\t{numbers.integers(3)}\t{tail}\n" for head, tail in skewed.tolist())
    (folder / f"{name}.txt").write_text("".join(lines))
    for role, count in (("entity", NUM_ENTITIES), ("relation", 3)):
        (folder / f"{role}.tsv").write_text("".join(f"{number}\t{number}\n" for number in range(count)))
    options = IngestOptions(memory_bytes=memory_bytes, ids=True)
    maps = {"entity_to_id": folder / "entity.tsv", "relation_to_id": folder / "relation.tsv"}
    return ingest(folder / f"{name}.txt", folder / f"{name}.zarr", **maps, options=options)


def touching(graph: TripleStore, entities) -> np.ndarray:
    triples = graph.read(0, len(graph)).triples
    return np.flatnonzero(np.isin(triples[:, [0, 2]], entities).any(axis=1))


@pytest.mark.parametrize("memory_bytes", [2**30, 1])
def test_an_ingested_store_lists_the_rows_of_every_entity(tmp_path, memory_bytes):
    graph = make(tmp_path, memory_bytes=memory_bytes)
    index = find_entity_rows(graph)
    triples = graph.read(0, len(graph)).triples
    for entity in range(NUM_ENTITIES):
        np.testing.assert_array_equal(index.rows(np.array([entity])), touching(graph, [entity]))
        assert index.num_rows(np.array([entity])) == tuple((triples[:, [0, 2]] == entity).sum(axis=0))
    some = np.array([0, 3, 20, 22])
    np.testing.assert_array_equal(index.rows(some), touching(graph, some))


def test_tails_are_sorted_in_as_many_passes_as_the_memory_needs(tmp_path, monkeypatch):
    graph = make(tmp_path)
    monkeypatch.setattr(entity_rows, "BYTES_PER_ROW", 1)
    sort, passes, folder = entity_rows._rows_of_tails, [], tmp_path / "small"
    monkeypatch.setattr(entity_rows, "_rows_of_tails", lambda *given: passes.append(given) or sort(*given))
    write_entity_rows(entity_rows.place_of(folder), graph, memory_bytes=40)
    assert len(passes) > 3
    shutil.rmtree(Path(graph.path) / FOLDER)
    folder.rename(Path(graph.path) / FOLDER)
    assert_right(graph)


def assert_right(graph: TripleStore) -> None:
    index = find_entity_rows(graph)
    for entity in range(NUM_ENTITIES):
        np.testing.assert_array_equal(index.rows(np.array([entity])), touching(graph, [entity]))


def test_a_store_without_index_gets_it_on_first_use(tmp_path):
    graph = make(tmp_path)
    shutil.rmtree(Path(graph.path) / FOLDER)
    assert find_entity_rows(graph) is None
    entity_rows.entity_rows(graph)
    assert_right(open_store(graph.path))
    assert [path.name for path in Path(graph.path).iterdir() if "part" in path.name] == []


def test_any_changed_byte_of_the_index_is_noticed_or_changes_nothing(tmp_path):
    graph = make(tmp_path)
    files = sorted(path for path in (Path(graph.path) / FOLDER).rglob("*") if path.is_file())
    chance = random.Random(4)  # noqa: S311 - no secret
    for _ in range(NUM_FLIPS):
        file = chance.choice(files)
        before = file.read_bytes()
        changed = bytearray(before)
        changed[chance.randrange(len(before))] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        with contextlib.suppress(StoreError):
            assert_right(graph)
        file.write_bytes(before)


def test_a_missing_part_and_the_index_of_another_store_are_refused(tmp_path):
    graph, other = make(tmp_path), make(tmp_path, "other", seed=2)
    shutil.rmtree(Path(graph.path) / FOLDER)
    shutil.copytree(Path(other.path) / FOLDER, Path(graph.path) / FOLDER)
    with pytest.raises(StoreError, match=r"the index of another store; delete its folder entity_rows"):
        find_entity_rows(graph)
    shutil.rmtree(Path(other.path) / FOLDER / "tail_rows" / "c")
    with pytest.raises(StoreError, match="not those that were written"):
        find_entity_rows(other).rows(np.arange(NUM_ENTITIES))


@pytest.mark.parametrize("left", ["no description", "nothing", "a file"])
def test_what_stands_in_the_place_of_an_index_is_refused(tmp_path, left):
    graph = make(tmp_path)
    folder = Path(graph.path) / FOLDER
    if left == "no description":
        (folder / "zarr.json").unlink()
    else:
        shutil.rmtree(folder)
        folder.mkdir() if left == "nothing" else folder.write_text("")
    with pytest.raises(StoreError, match="delete its folder entity_rows"):
        entity_rows.entity_rows(graph)


@pytest.mark.parametrize("entities", [[20], [4], [0, 7], list(range(NUM_ENTITIES))])
def test_neighbours_are_read_alike_by_the_index_and_from_all_rows(tmp_path, monkeypatch, entities):
    graph, chosen = make(tmp_path), np.array(entities)
    by_index = Neighbourhood.of(find_entity_rows(graph), chosen)
    monkeypatch.setattr(neighbourhood, "FEW_ROWS", -1)
    by_reading = Neighbourhood.of(find_entity_rows(graph), chosen)
    counted = counted_neighbourhood(graph, chosen)
    assert by_index.rows is not None
    assert by_reading.rows is None
    counts = [(one.num_heads, one.num_tails) for one in (by_index, by_reading, counted)]
    assert counts[0] == counts[1] == counts[2]
    assert by_index.most_rows >= len(touching(graph, chosen))
    whole = graph.read(0, len(graph))
    for start, stop in [(0, len(graph)), (0, 5), (17, 43), (len(graph) - 3, len(graph))]:
        expected = touching(graph, chosen)
        expected = expected[(expected >= start) & (expected < stop)]
        for one in (by_index, by_reading, counted):
            found = list(one.read(graph, start, stop))
            rows = np.concatenate([np.empty(0, np.int64), *(rows for _, rows in found)])
            np.testing.assert_array_equal(rows, expected)
            for block, places in found:
                np.testing.assert_array_equal(block.triples, whole.triples[places])
                np.testing.assert_array_equal(block.train_index, whole.train_index[places])
    some = chosen[:1]
    found = np.concatenate([np.empty(0, np.int64), *(rows for _, rows in by_index.among(some).read(graph, 0, 300))])
    np.testing.assert_array_equal(found, touching(graph, some))
