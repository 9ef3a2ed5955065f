"""Files of groups: every row of the store gets the group of its triple, or an error names the line."""

import contextlib
import gzip
import pickle
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import StoreError, TriplesError
from tracin_dask.triples import digests, group_ingest, group_lines
from tracin_dask.triples import store as store_module
from tracin_dask.triples import write as write_module
from tracin_dask.triples.group_ingest import GroupOptions, ingest_groups, ingest_groups_cached
from tracin_dask.triples.groups import GroupStore, open_groups
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.lines import read_blocks
from tracin_dask.triples.shape import Shape
from tracin_dask.triples.store import TripleStore

TRAIN = ["b\tr\ta", "a\ts\tc", "b\tr\ta", "a\tr\tb", "c\ts\tb"]
GROUPS = ["a\tr\tb\tpapers", "c\ts\tb\tcurated by hand", "b\tr\ta\tpapers", "a\ts\tc\tcurated by hand"]
SKIP = GroupOptions(skip_invalid=True)


@pytest.fixture
def store(write, tmp_path) -> TripleStore:
    return ingest(write("train.txt", text(TRAIN)), tmp_path / "graph.zarr")


@pytest.fixture
def _small_shards(monkeypatch):
    """Give a small graph several shards."""
    for module in (store_module, write_module, group_lines, group_ingest):
        monkeypatch.setattr(module, "SHARD_ROWS", 4)
    for module in (store_module, write_module):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)


def text(lines) -> str:
    return "".join(f"{line}\n" for line in lines)


def by_line(store: TripleStore, groups: GroupStore) -> list[str]:
    """Return the group of each line of the training file."""
    lines, numbers = store.read(0, len(store)).train_index, groups.read(0, len(store))
    return [groups.labels.label(numbers[row]) for row in np.argsort(lines)]


def test_every_line_of_the_training_file_gets_the_group_of_its_triple(write, store, tmp_path):
    groups = ingest_groups(write("groups.tsv", text(GROUPS)), store, tmp_path / "groups.zarr")
    assert by_line(store, groups) == ["papers", "curated by hand", "papers", "papers", "curated by hand"]
    assert (len(groups), groups.info.num_triples, dict(groups.info.skipped)) == (2, 5, {})
    assert groups.info.source.name == "groups.tsv"
    assert groups.info.store_fingerprint == store.info.fingerprint
    assert sorted(entry.name for entry in Path(groups.path).iterdir()) == [
        "group",
        "group_label",
        "group_label_end",
        "row_digest",
        "zarr.json",
    ]
    again = pickle.loads(pickle.dumps(groups))  # noqa: S301 - the test's own bytes
    assert again == groups == open_groups(groups.path)


def test_repeated_triples_take_their_groups_in_the_order_of_the_training_file(write, store, tmp_path):
    more = [*GROUPS[:2], "b\tr\ta\tsecond of all", *GROUPS[2:]]
    groups = ingest_groups(write("groups.tsv", text(more)), store, tmp_path / "groups.zarr")
    assert by_line(store, groups) == ["second of all", "curated by hand", "papers", "papers", "curated by hand"]


def test_repeated_lines_with_one_group_give_that_group(write, store, tmp_path):
    groups = ingest_groups(write("groups.tsv", text(GROUPS * 3)), store, tmp_path / "groups.zarr")
    assert by_line(store, groups) == ["papers", "curated by hand", "papers", "papers", "curated by hand"]


def test_bare_integers_are_ids_or_labels_as_stated(write, tmp_path):
    entities, relations = write("e.tsv", "2\t0\n1\t1\n0\t2\n"), write("r.tsv", "1\t0\n0\t1\n")
    train = write("train.txt", "2\t1\t0\n1\t0\t2\n")
    options = IngestOptions(ids=True, map_columns="label,id")
    store = ingest(train, tmp_path / "graph.zarr", entity_to_id=entities, relation_to_id=relations, options=options)
    ids = write("ids.tsv", "1\t0\t2\tx\n2\t1\t0\t7\n")
    as_ids = GroupOptions(ids=True)
    assert by_line(store, ingest_groups(ids, store, tmp_path / "ids.zarr", options=as_ids)) == ["7", "x"]
    labels = write("labels.tsv", "0\t0\t2\ty\n1\t1\t0\t8\n")
    with pytest.raises(TriplesError, match=r"'0\\t0\\t2'.*\n.*; if its integers are labels, pass --labels"):
        ingest_groups(write("wrong.tsv", "2\t1\t0\tx\n0\t0\t2\ty\n"), store, tmp_path / "w.zarr", options=as_ids)
    with pytest.raises(TriplesError, match="not have"):
        ingest_groups(labels, store, tmp_path / "labels.zarr", options=as_ids)
    as_labels = ingest(write("l.txt", "0\t0\t2\n1\t1\t0\n"), tmp_path / "l.zarr", options=IngestOptions(labels=True))
    options = GroupOptions(labels=True)
    assert by_line(as_labels, ingest_groups(labels, as_labels, tmp_path / "l-groups.zarr", options=options)) == [
        "y",
        "8",
    ]


def test_group_files_compressed_by_gzip_are_read(write, store, tmp_path):
    plain = ingest_groups(write("groups.tsv", text(GROUPS)), store, tmp_path / "plain.zarr")
    packed = write("groups.tsv.gz", gzip.compress(text(GROUPS).encode()))
    groups = ingest_groups(packed, store, tmp_path / "packed.zarr")
    assert by_line(store, groups) == by_line(store, plain)
    assert groups.info.fingerprint == plain.info.fingerprint
    assert groups.info.source.size_bytes == packed.stat().st_size


def test_gzip_text_is_split_into_the_same_blocks_as_plain_text(write):
    content = text(f"entity{number}\tr\tb\tgroup" for number in range(5000)) + "\n"
    plain = list(read_blocks(write("t.txt", content), block_bytes=1 << 12))
    packed = write("t.txt.gz", gzip.compress(content.encode()))
    assert packed.stat().st_size < 1 << 15
    assert list(read_blocks(packed, block_bytes=1 << 12)) == plain
    assert sum(block.num_lines for block in plain) == 5000


def test_a_truncated_gzip_file_is_refused(write, store, tmp_path):
    cut = gzip.compress(text(GROUPS).encode())[:-9]
    with pytest.raises(TriplesError, match=r"groups.tsv.gz: a damaged compressed file: .*; download or compress it"):
        ingest_groups(write("groups.tsv.gz", cut), store, tmp_path / "groups.zarr")
    assert not (tmp_path / "groups.zarr").exists()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("a\tr\tb", "wrong number of columns: 'a\\\\tr\\\\tb'"),
        ("a\tr\tb\tx\ty", "wrong number of columns"),
        ("a\tr\tb\t", "empty field"),
        ("", "blank line"),
        ("new\tr\tb\tx", "unknown head label: 'new\\\\tr\\\\tb'"),
        ("a\tnew\tb\tx", "unknown relation label"),
        ("c\tr\tc\tx", "triple that the training set does not have: 'c\\\\tr\\\\tc'"),
        ("a\tr\ta\tx", "triple that the training set does not have: 'a\\\\tr\\\\ta'"),
    ],
)
def test_an_invalid_line_of_groups_is_refused_with_its_number_or_skipped(write, store, tmp_path, line, kind):
    path = write("groups.tsv", text([*GROUPS[:3], line, *GROUPS[3:]]))
    with pytest.raises(TriplesError, match=rf"1 line cannot be used: .*\n.*groups.tsv, line 4: {kind}") as refused:
        ingest_groups(path, store, tmp_path / "groups.zarr")
    assert "`head TAB relation TAB tail TAB group`" in str(refused.value)
    assert "pass --skip-invalid to skip such lines" in str(refused.value)
    assert not (tmp_path / "groups.zarr").exists()
    groups = ingest_groups(path, store, tmp_path / "groups.zarr", options=SKIP)
    assert by_line(store, groups) == ["papers", "curated by hand", "papers", "papers", "curated by hand"]
    assert sum(groups.info.skipped.values()) == 1


@pytest.mark.parametrize("options", [GroupOptions(), SKIP], ids=["strict", "skip"])
def test_training_triples_without_a_group_are_counted_and_the_first_named(write, store, tmp_path, options):
    with pytest.raises(
        TriplesError,
        match=r"groups.tsv: 3 of 5 training triples have no group; the first is 'b\\tr\\ta' with train_index 0; .* `o",
    ):
        ingest_groups(write("groups.tsv", text(GROUPS[:1] + GROUPS[3:])), store, tmp_path / "g.zarr", options=options)


@pytest.mark.parametrize("header", ["", "head\trelation\ttail\n"], ids=["no header", "header"])
def test_a_training_triple_without_a_group_is_named_by_the_train_index_that_the_store_gives_it(write, tmp_path, header):
    train, shape = write("train.txt", header + text(TRAIN)), Shape(header=bool(header))
    store = ingest(train, tmp_path / "graph.zarr", options=IngestOptions(shape=shape))
    with pytest.raises(TriplesError, match=r"the first is 'a\\ts\\tc' with train_index 1;"):
        ingest_groups(write("groups.tsv", text(GROUPS[:3])), store, tmp_path / "groups.zarr")
    block = store.read(0, len(store))
    (triple,) = block.triples[block.train_index == 1]
    assert [store.entities.label(triple[0]), store.entities.label(triple[2])] == ["a", "c"]


@pytest.mark.fault("a training triple with two groups", promised="one message")
def test_a_triple_with_several_groups_is_refused(write, store, tmp_path):
    path = write("groups.tsv", text([*GROUPS, "c\ts\tb\tpapers"]))
    with pytest.raises(
        TriplesError,
        match=r"groups.tsv, line 2: 'c\\ts\\tb': the lines of this triple name different .*\(1 such triple",
    ):
        ingest_groups(path, store, tmp_path / "groups.zarr")


@pytest.mark.parametrize("content", ["", "\n", "x\ty\tz\tgroup\n"])
def test_a_group_file_without_any_training_triple_is_refused(write, store, tmp_path, content):
    with pytest.raises(TriplesError, match=r"no line of a triple of this graph; expected lines of `head TAB"):
        ingest_groups(write("groups.tsv", content), store, tmp_path / "groups.zarr", options=SKIP)


def expected_groups(train, lines):
    """Assign groups triple by triple, with everything in memory."""
    groups, rows = defaultdict(list), defaultdict(list)
    for triple, group in lines:
        groups[triple].append(group)
    for line, triple in enumerate(train):
        rows[triple].append(line)
    if any(triple not in rows for triple in groups):
        return "not have"
    if any(triple not in groups for triple in rows):
        return "have no group"
    found = {}
    for triple, mine in rows.items():
        given = groups[triple]
        if len(set(given)) > 1 and len(given) != len(mine):
            return "name different groups"
        found |= dict(zip(mine, given if len(set(given)) > 1 else given[:1] * len(mine), strict=True))
    return [found[line] for line in range(len(train))]


TRIPLES = st.tuples(st.sampled_from("ab"), st.sampled_from("rs"), st.sampled_from("abc"))


@pytest.mark.usefixtures("_small_shards")
@settings(max_examples=15)
@given(train=st.lists(TRIPLES, min_size=1, max_size=25), data=st.data())
def test_groups_of_any_file_in_any_block_size_equal_a_plain_loop(tmp_path_factory, train, data):
    folder = tmp_path_factory.mktemp("groups")
    kinds = st.sampled_from("xyz")
    lines = [(triple, data.draw(kinds)) for triple in data.draw(st.permutations(train))]
    lines = [line for line in lines if data.draw(st.integers(0, 30))]
    lines += [(data.draw(TRIPLES), data.draw(kinds)) for _ in range(data.draw(st.sampled_from([0, 0, 1])))]
    (folder / "train.txt").write_text(text("\t".join(triple) for triple in train))
    (folder / "groups.tsv").write_text(text("\t".join([*triple, group]) for triple, group in lines))
    for name, known in (("e.tsv", "abc"), ("r.tsv", "rs")):
        (folder / name).write_text(text(f"{label}\t{number}" for number, label in enumerate(known)))
    store = ingest(
        folder / "train.txt", folder / "g.zarr", entity_to_id=folder / "e.tsv", relation_to_id=folder / "r.tsv"
    )
    options = GroupOptions(memory_bytes=data.draw(st.sampled_from([100, 1 << 20])))
    expected = expected_groups(train, lines)
    wrong = expected if isinstance(expected, str) else None
    if not lines:
        wrong = "no line of a triple"
    with pytest.raises(TriplesError, match=wrong) if wrong else contextlib.nullcontext():
        groups = ingest_groups(folder / "groups.tsv", store, folder / "groups.zarr", options=options)
        assert by_line(store, groups) == expected


@pytest.mark.usefixtures("_small_shards")
def test_groups_are_read_from_any_shard(write, tmp_path):
    triples = [f"e{number % 7}\tr\te{number % 5}" for number in range(35)]
    store = ingest(write("train.txt", text(triples)), tmp_path / "graph.zarr")
    path = write("groups.tsv", text(f"{triple}\t{number}" for number, triple in enumerate(triples)))
    groups = ingest_groups(path, store, tmp_path / "groups.zarr")
    assert by_line(store, groups) == [str(number) for number in range(35)]
    whole = groups.read(0, 35)
    for start, stop in [(0, 0), (3, 5), (7, 29), (34, 35)]:
        assert groups.read(start, stop).tolist() == whole[start:stop].tolist()


def test_cached_groups_are_made_once_for_each_content_and_store(write, store, tmp_path):
    path, cache = write("groups.tsv", text(GROUPS)), tmp_path / "cache"
    first = ingest_groups_cached(path, store, cache)
    assert Path(first.path).name.startswith("groups-groups-")
    assert ingest_groups_cached(path, store, cache) == first
    other = ingest(write("other.txt", text(TRAIN[1:])), tmp_path / "other.zarr")
    assert ingest_groups_cached(path, other, cache).path != first.path
    path.write_text(text(GROUPS[::-1]))
    again = ingest_groups_cached(path, store, cache)
    assert again.path != first.path
    assert by_line(store, again) == by_line(store, first)


def test_a_missing_group_file_is_named(store, tmp_path):
    for make in (ingest_groups, ingest_groups_cached):
        with pytest.raises(
            TriplesError, match=r"nothing.tsv: cannot be read: No such file or directory; check the path"
        ):
            make(tmp_path / "nothing.tsv", store, tmp_path / "groups.zarr")


def test_existing_groups_are_replaced_only_with_overwrite(write, store, tmp_path):
    path, output = write("groups.tsv", text(GROUPS)), tmp_path / "groups.zarr"
    first = ingest_groups(path, store, output)
    path.write_text(text(GROUPS).replace("papers", "articles"))
    with pytest.raises(StoreError, match="exists already; choose another output or pass --overwrite"):
        ingest_groups(path, store, output)
    assert open_groups(output) == first
    ingest_groups(path, store, output, options=GroupOptions(overwrite=True))
    assert by_line(store, open_groups(output))[0] == "articles"


class TestDamage:
    @pytest.fixture
    def groups(self, write, store, tmp_path) -> GroupStore:
        return ingest_groups(write("groups.tsv", text(GROUPS)), store, tmp_path / "groups.zarr")

    def test_opening_another_store_as_groups_is_refused(self, store, tmp_path):
        with pytest.raises(StoreError, match=r"graph.zarr: no groups of training triples \(format version 3\); make"):
            open_groups(store.path)
        with pytest.raises(StoreError, match=r"nothing.zarr: no groups that can be read"):
            open_groups(tmp_path / "nothing.zarr")

    def test_a_missing_shard_is_not_read_as_groups(self, groups):
        shutil.rmtree(Path(groups.path, "group", "c"))
        with pytest.raises(StoreError, match=r"group\[0:5\] is missing or damaged; delete it and make it again"):
            groups.read(0, 5)

    def test_a_flipped_bit_in_groups_is_detected(self, groups):
        shard = Path(groups.path, "group", "c", "0")
        content = bytearray(shard.read_bytes())
        content[3] ^= 4
        shard.write_bytes(content)
        with pytest.raises(StoreError, match=r"group\[0:5\] is damaged"):
            groups.read(0, 5)

    def test_missing_group_labels_are_detected(self, groups):
        shutil.rmtree(Path(groups.path, "group_label", "c"))
        with pytest.raises(StoreError, match="a part of group_label is missing"):
            assert groups.labels

    def test_reading_groups_that_were_replaced_after_opening_is_refused(self, groups):
        attributes = zarr.open_group(groups.path).attrs
        others = {name: value for name, value in attributes.asdict().items() if name != digests.ATTRIBUTES_DIGEST}
        attributes.put(digests.with_digest(others | {"fingerprint": "other"}))
        with pytest.raises(StoreError, match="were replaced by others since they were opened"):
            groups.read(0, 5)
