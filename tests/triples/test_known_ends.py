"""Known tails and heads are those of a plain loop over the training triples, however the store is cut."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracin_dask.triples import key_ranges, known_ends
from tracin_dask.triples.ingest import ingest
from tracin_dask.triples.known_ends import KnownEnds, known_ends_bytes, known_heads, known_positions, known_tails
from tracin_dask.triples.store import TripleStore

NUM_ENTITIES, NUM_RELATIONS = 11, 3


@pytest.fixture(scope="module")
def lines() -> np.ndarray:
    random = np.random.default_rng(1)
    return np.stack([random.integers(size, size=150) for size in (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)], axis=1)


@pytest.fixture(scope="module")
def store(lines: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> TripleStore:
    folder = tmp_path_factory.mktemp("store")
    (folder / "train.txt").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines.tolist()))
    maps = {}
    for kind, size in (("entity", NUM_ENTITIES), ("relation", NUM_RELATIONS)):
        maps[f"{kind}_to_id"] = folder / f"{kind}.tsv"
        maps[f"{kind}_to_id"].write_text("".join(f"{kind}{number}\t{number}\n" for number in range(size)))
    return ingest(folder / "train.txt", folder / "graph.zarr", **maps)


def expected(lines: np.ndarray, pairs: np.ndarray, columns: list[int], end: int) -> np.ndarray:
    found = np.zeros((len(pairs), NUM_ENTITIES), dtype=bool)
    for row, pair in enumerate(pairs):
        for line in lines:
            found[row, line[end]] |= (line[columns] == pair).all()
    return found


def dense(found: KnownEnds, pairs: np.ndarray) -> np.ndarray:
    table = np.zeros((len(pairs), NUM_ENTITIES), dtype=int)
    np.add.at(table, known_positions([found], slice(None)), 1)
    assert table.max(initial=0) <= 1, "a position is given twice"
    return table.astype(bool)


ENTITY, RELATION = st.integers(0, NUM_ENTITIES - 1), st.integers(0, NUM_RELATIONS - 1)
EVERY_PAIR = [(entity, relation) for entity in range(NUM_ENTITIES) for relation in range(NUM_RELATIONS)]


@pytest.mark.parametrize("leaf", [1, 7, 1000])
@settings(max_examples=15, deadline=None)
@example(asked=EVERY_PAIR)
@given(asked=st.lists(st.tuples(ENTITY, RELATION), max_size=12))
def test_known_tails_of_any_pairs_equal_a_plain_loop(lines, store, leaf, asked):
    pairs = np.array(asked, np.int64).reshape(-1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_ranges, "CHUNK_ROWS", leaf)
        found = known_tails(store, pairs)
    assert dense(found, pairs).tolist() == expected(lines, pairs, [0, 1], 2).tolist()


@pytest.mark.parametrize("at_a_time", [1, 7, 1000])
@settings(max_examples=15, deadline=None)
@example(asked=EVERY_PAIR)
@given(asked=st.lists(st.tuples(ENTITY, RELATION), max_size=12))
def test_known_heads_of_any_pairs_equal_a_plain_loop(lines, store, at_a_time, asked):
    pairs = np.array(asked, np.int64).reshape(-1, 2)[:, ::-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_ends, "SCAN_ROWS", at_a_time)
        found = known_heads(store, pairs)
    assert dense(found, pairs).tolist() == expected(lines, pairs, [1, 2], 0).tolist()


def test_some_of_the_pairs_can_be_asked_for(lines: np.ndarray, store: TripleStore):
    pairs = lines[[3, 5, 3, 9], :2]
    found = known_tails(store, pairs)
    whole = expected(lines, pairs, [0, 1], 2)
    rows, entities = known_positions([found], slice(1, 3))
    assert np.column_stack([rows, entities]).tolist() == np.argwhere(whole[1:3]).tolist()
    assert found.bits.nbytes + found.row_of_pair.nbytes <= known_ends_bytes(len(pairs), NUM_ENTITIES)


def test_the_tails_of_one_pair_take_few_reads_of_a_large_store(store: TripleStore, lines: np.ndarray, monkeypatch):
    monkeypatch.setattr(key_ranges, "CHUNK_ROWS", 2)
    reads, read = [], TripleStore.read

    def counted(self, start, stop):
        reads.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(TripleStore, "read", counted)
    known_tails(store, lines[:1, :2])
    assert len(reads) < 30
    assert max(reads) == 2
