"""A damaged store, or one with parts of another, is refused or is as good as new; a cached one is made anew."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tracin_dask.errors import StoreError
from tracin_dask.triples import digests, store, write
from tracin_dask.triples.group_ingest import ingest_groups, ingest_groups_cached
from tracin_dask.triples.groups import open_groups
from tracin_dask.triples.ingest import IngestOptions, ingest, ingest_cached
from tracin_dask.triples.store import TripleStore, open_store

NUM_FLIPS = 200
OTHER = r"are not those that were ingested: a shard is damaged, or belongs to another store"


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 8 rows in chunks of 4, so that a small store has several."""
    monkeypatch.setattr(digests, "DIGEST_ROWS", 4)
    for module in (store, write):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    for module in (store, write):
        monkeypatch.setattr(module, "SHARD_ROWS", 8)


def write_text(path: Path, *, seed: int = 1, num_rows: int = 30) -> Path:
    """Write random triples of the same labels for every seed; the first lines name them all."""
    numbers = np.random.default_rng(seed).integers(0, 6, (num_rows, 3))
    numbers[:6] = np.arange(6)[:, None]
    path.write_text("".join(f"e{h}\tr{r}\te{t}\n" for h, r, t in numbers))
    return path


def make(folder: Path, name: str, seed: int = 1) -> TripleStore:
    names = folder / "names.tsv"
    names.write_text("".join(f"Entity {number}\t{number}\n" for number in range(6)))
    text = write_text(folder / f"{name}.txt", seed=seed)
    return ingest(text, folder / f"{name}.zarr", options=IngestOptions(entity_names=names))


def contents(path: Path) -> tuple[object, ...]:
    found = open_store(path)
    found.verify()
    names = found.entity_names
    block = found.read(0, len(found))
    return (
        found.info,
        block.triples.tobytes(),
        block.train_index.tobytes(),
        found.entities.labels,
        found.relations.labels,
        None if names is None else names.to_pylist(),
    )


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def outcome(made: Path, file: Path, bit: int, before: tuple[object, ...]) -> str:
    """Flip one bit, open the store, and flip it back."""
    flip(file, bit)
    try:
        return "equal" if contents(made) == before else f"other: bit {bit} of {file}"
    except StoreError:
        return "refused"
    finally:
        flip(file, bit)


def flipped(made: Path, files: list[Path], number: int) -> set[str]:
    draw, before = random.Random(5), contents(made)  # noqa: S311 - no secret
    chosen = [draw.choice(files) for _ in range(number)]
    return {outcome(made, file, draw.randrange(8 * file.stat().st_size), before) for file in chosen}


@pytest.mark.fault("a bit of a store's metadata flips", promised="one message, or an equal store")
@pytest.mark.parametrize("number", [NUM_FLIPS, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_flipped_bit_of_the_metadata_is_refused_or_changes_nothing(tmp_path, number):
    made = Path(make(tmp_path, "graph").path)
    files = sorted(made.rglob("zarr.json"))
    assert len(files) == 15
    assert flipped(made, files, number) == {"refused", "equal"}


@pytest.mark.fault("a bit of a store's data flips", promised="one message, or an equal store")
def test_a_flipped_bit_of_the_data_is_refused_or_changes_nothing(tmp_path):
    made = Path(make(tmp_path, "graph").path)
    files = sorted(path for path in made.rglob("*") if path.is_file() and path.name != "zarr.json")
    assert flipped(made, files, 100) <= {"refused", "equal"}


@pytest.mark.fault("a shard of another store", promised="it is refused where it is read")
@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("name", ["triples", "train_index"])
def test_a_shard_of_another_store_is_noticed_where_its_rows_are_read(tmp_path, name):
    mine, theirs = make(tmp_path, "mine"), make(tmp_path, "theirs", seed=2)
    assert mine.info.id_maps_sha256 == theirs.info.id_maps_sha256
    shard = Path(name, "c", *(["1", "0"] if name == "triples" else ["1"]))
    shutil.copy(Path(theirs.path, shard), Path(mine.path, shard))
    found = open_store(mine.path)
    assert len(found.read(0, 8)) == 8
    with pytest.raises(StoreError, match=rf"the rows from 8 on {OTHER}"):
        found.read(9, 10)


@pytest.mark.fault("labels or digests of another store", promised="they are refused")
@pytest.mark.parametrize("name", ["entity_label", "relation_label", "row_digest"])
def test_an_array_of_another_store_is_noticed(tmp_path, name):
    mine = make(tmp_path, "mine")
    text = tmp_path / "theirs.txt"
    text.write_text(write_text(tmp_path / "a.txt", seed=2).read_text().replace("e1", "f1").replace("r1", "s1"))
    theirs = ingest(text, tmp_path / "theirs.zarr")
    shutil.rmtree(Path(mine.path, name))
    shutil.copytree(Path(theirs.path, name), Path(mine.path, name))
    with pytest.raises(StoreError, match=f"{name} is damaged, or belongs to another store"):
        open_store(mine.path).verify()


@pytest.mark.usefixtures("small_shards")
def test_rows_of_several_chunks_are_read_from_any_row(tmp_path):
    made = make(tmp_path, "graph")
    whole = made.read(0, len(made))
    for start in range(0, len(made), 3):
        for stop in range(start, len(made) + 1, 4):
            assert np.array_equal(made.read(start, stop).triples, whole.triples[start:stop])


class TestCachedStore:
    def damaged(self, found: TripleStore, name: str) -> None:
        Path(found.path, name).write_bytes(b"{")

    @pytest.mark.fault("a damaged store in the cache", promised="it is made again, with a message")
    @pytest.mark.parametrize("name", ["zarr.json", "triples/zarr.json", "triples/c/0/0"])
    def test_it_is_made_anew_where_it_is_damaged(self, tmp_path, name):
        text, said = write_text(tmp_path / "a.txt"), []
        found = ingest_cached(text, tmp_path / "cache")
        before = contents(Path(found.path))
        self.damaged(found, name)
        again = ingest_cached(text, tmp_path / "cache", say=said.append)
        assert contents(Path(again.path)) == before
        assert len(said) == 1
        assert "making it anew" in said[0]

    def test_a_sound_one_is_not_made_again(self, tmp_path):
        text, said = write_text(tmp_path / "a.txt"), []
        found = ingest_cached(text, tmp_path / "cache")
        made = Path(found.path).stat().st_ino
        ingest_cached(text, tmp_path / "cache", say=said.append)
        assert (Path(found.path).stat().st_ino, said) == (made, [])

    def test_one_without_metadata_is_made_anew(self, tmp_path):
        text = write_text(tmp_path / "a.txt")
        found = ingest_cached(text, tmp_path / "cache")
        Path(found.path, "zarr.json").unlink()
        ingest_cached(text, tmp_path / "cache", say=lambda _: None).verify()


class TestGroups:
    @pytest.fixture
    def text(self, tmp_path):
        """A store, and a file with a group for each of its triples."""
        graph = make(tmp_path, "graph")
        lines = dict.fromkeys((tmp_path / "graph.txt").read_text().splitlines())
        path = tmp_path / "groups.tsv"
        path.write_text("".join(f"{line}\tg{number % 3}\n" for number, line in enumerate(lines)))
        return graph, path

    def test_a_flipped_bit_of_the_metadata_is_refused_or_changes_nothing(self, tmp_path, text):
        graph, path = text
        made = ingest_groups(path, graph, tmp_path / "groups.zarr")
        before = (made.info, made.read(0, len(graph)).tobytes(), made.labels.labels)
        files, draw = sorted(Path(made.path).rglob("zarr.json")), random.Random(7)  # noqa: S311 - no secret
        for _ in range(150):
            file = draw.choice(files)
            bit = draw.randrange(8 * file.stat().st_size)
            flip(file, bit)
            try:
                found = open_groups(made.path)
                found.verify()
                assert (found.info, found.read(0, len(graph)).tobytes(), found.labels.labels) == before
            except StoreError:
                pass
            flip(file, bit)

    def test_damaged_ones_in_the_cache_are_made_anew(self, tmp_path, text):
        graph, path = text
        made, said = ingest_groups_cached(path, graph, tmp_path / "cache"), []
        Path(made.path, "group", "c", "0").write_bytes(b"1")
        again = ingest_groups_cached(path, graph, tmp_path / "cache", say=said.append)
        assert again.read(0, len(graph)).tolist() == made.read(0, len(graph)).tolist()
        assert len(said) == 1


@pytest.mark.fault("ingest --overwrite onto a folder of other files", promised="it is refused")
def test_overwrite_does_not_delete_a_folder_of_other_files(tmp_path):
    text, home = write_text(tmp_path / "a.txt"), tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").touch()
    with pytest.raises(StoreError, match="a folder with other files, not a store"):
        ingest(text, home, options=IngestOptions(overwrite=True))
    assert (home / "thesis.tex").exists()


def test_a_store_of_the_first_version_can_be_read(tmp_path):
    made = make(tmp_path, "graph")
    before = contents(Path(made.path))
    file = Path(made.path, "zarr.json")
    meta = json.loads(file.read_text())
    for name in ("digests", "attributes_sha256"):
        del meta["attributes"][name]
    meta["attributes"]["format_version"] = 1
    file.write_text(json.dumps(meta))
    shutil.rmtree(Path(made.path, "row_digest"))
    assert contents(Path(made.path))[1:] == before[1:]


def test_a_store_of_the_second_version_can_be_read(tmp_path):
    made = make(tmp_path, "graph")
    before = contents(Path(made.path))
    group = zarr.open_group(made.path, mode="r+")
    for name, texts in (("entity_label", made.entities.labels), ("relation_label", made.relations.labels)):
        for array in (name, f"{name}_end"):
            shutil.rmtree(Path(made.path, array))
        group.create_array(name, shape=(len(texts),), dtype=str, fill_value="\n")[:] = np.array(
            texts.to_pylist(), object
        )
    attributes = {**made.info.attributes(), "format_version": 2}
    del attributes[digests.ATTRIBUTES_DIGEST]
    group.attrs.put(digests.with_digest(attributes))
    assert contents(Path(made.path)) == before
