"""Listed training triples are found in a store of any size, wherever their rows stand."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracin_dask.errors import TriplesError
from tracin_dask.triples import key_ranges
from tracin_dask.triples.ingest import ingest
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.training_triples import find_training_triples, read_training_triples

SIZE = 6
"""Entities and relations: so few that most triples stand several times."""


@pytest.fixture(scope="module")
def lines() -> np.ndarray:
    return np.random.default_rng(0).integers(SIZE, size=(200, 3))


@pytest.fixture(scope="module")
def store(lines: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> TripleStore:
    folder = tmp_path_factory.mktemp("store")
    (folder / "train.txt").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines.tolist()))
    maps = {}
    for kind in ("entity", "relation"):
        maps[f"{kind}_to_id"] = folder / f"{kind}.tsv"
        maps[f"{kind}_to_id"].write_text("".join(f"{kind}{number}\t{number}\n" for number in range(SIZE)))
    return ingest(folder / "train.txt", folder / "graph.zarr", **maps)


@pytest.mark.parametrize("leaf", [1, 3, 1000])
@settings(max_examples=15)
@example(listed=list(product(range(SIZE), repeat=3)))
@given(listed=st.lists(st.tuples(*[st.integers(0, SIZE - 1)] * 3), max_size=30))
def test_every_row_of_a_listed_triple_is_found_in_the_order_of_the_list(lines, store, leaf, listed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_ranges, "CHUNK_ROWS", leaf)
        found, missing = find_training_triples(store, np.array(listed, np.int64).reshape(-1, 3))
    expected = [line for triple in dict.fromkeys(listed) for line in np.flatnonzero((lines == triple).all(axis=1))]
    assert found.train_index.tolist() == expected
    assert found.triples.tolist() == lines[expected].tolist()
    assert store.read(0, len(store)).train_index[found.rows].tolist() == expected
    known = set(map(tuple, lines.tolist()))
    assert missing.tolist() == [place for place, triple in enumerate(listed) if triple not in known]


def test_a_few_triples_of_a_large_store_take_few_reads(store: TripleStore, lines: np.ndarray, monkeypatch):
    monkeypatch.setattr(key_ranges, "CHUNK_ROWS", 2)
    reads, read = [], TripleStore.read

    def counted(self, start, stop):
        reads.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(TripleStore, "read", counted)
    find_training_triples(store, lines[:1])
    assert len(reads) < 25
    assert max(reads) == 2


def test_files_hold_labels_or_ids_between_tabs_or_spaces(store: TripleStore, lines: np.ndarray, tmp_path: Path):
    head, relation, tail = lines[7].tolist()
    texts = {
        "labels": f"entity{head}\trelation{relation}\tentity{tail}\n",
        "ids": f"{head}\t{relation}\t{tail}\n",
        "spaces": f"{head} {relation}  {tail}\n",
    }
    expected = np.flatnonzero((lines == lines[7]).all(axis=1)).tolist()
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        found = read_training_triples(tmp_path / name, store)
        assert found.train_index.tolist() == expected
        assert (found.source, found.skipped, found.store_fingerprint) == (name, {}, store.info.fingerprint)


def test_lines_that_are_no_training_triple_are_refused_or_counted(store: TripleStore, lines, tmp_path: Path):
    known = set(map(tuple, lines.tolist()))
    new = next(triple for triple in np.ndindex(SIZE, SIZE, SIZE) if triple not in known)
    rows = [lines[0].tolist(), new, [0, 0, 99]]
    (tmp_path / "some.txt").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows) + "1\t2\n")
    with pytest.raises(TriplesError) as caught:
        read_training_triples(tmp_path / "some.txt", store)
    message = str(caught.value)
    assert "3 lines cannot be used: 1 × tail id out of range, 1 × triple that the training set does not have" in message
    assert "some.txt, line 2: triple that the training set does not have" in message
    assert "pass --skip-invalid" in message
    found = read_training_triples(tmp_path / "some.txt", store, skip_invalid=True)
    assert found.triples.tolist()[0] == lines[0].tolist()
    assert sum(found.skipped.values()) == 3


def test_a_file_without_training_triples_is_refused(store: TripleStore, tmp_path: Path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(TriplesError, match=r"empty.txt: no line is a training triple; expected lines of `head TAB"):
        read_training_triples(tmp_path / "empty.txt", store, skip_invalid=True)
