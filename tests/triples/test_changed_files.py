"""Files of triples, maps, test triples and groups that were changed: read with every row, or refused by one message."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from changed_files import CHANGES, NUM_EXAMPLES, Changed, changed_files, check_read, is_field
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.triples import tests_in_file
from tracin_dask.triples.group_ingest import GroupOptions, ingest_groups
from tracin_dask.triples.idmap import IdMap, read_id_map
from tracin_dask.triples.ingest import ingest
from tracin_dask.triples.lines import InvalidLines
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.tests_in_file import read_tests, read_tests_in_sets
from tracin_dask.triples.text import open_triples, read_triples
from tracin_dask.triples.training_triples import read_training_triples

ENTITIES, RELATIONS = ["a", "b c", "é", "CHEBI:7", "e"], ["r", "s"]
TRAIN = [
    ("a", "r", "b c"),
    ("b c", "s", "a"),
    ("é", "r", "CHEBI:7"),
    ("a", "r", "b c"),
    ("e", "s", "e"),
    ("CHEBI:7", "r", "é"),
]
TRIPLES = st.lists(st.sampled_from(TRAIN), min_size=1, max_size=6)
GROUPS = ["x", "y z", "7"]
MANY = settings(max_examples=NUM_EXAMPLES, database=None, deadline=None)


def with_ids(triples) -> list[tuple[str, ...]]:
    return [
        (str(ENTITIES.index(head)), str(RELATIONS.index(relation)), str(ENTITIES.index(tail)))
        for head, relation, tail in triples
    ]


def lines_of(rows) -> list[str]:
    return ["\t".join(row) for row in rows]


LISTED = st.one_of(TRIPLES.map(lines_of), TRIPLES.map(with_ids).map(lines_of))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TripleStore:
    folder = tmp_path_factory.mktemp("store")
    (folder / "train.txt").write_text("".join(f"{line}\n" for line in lines_of(TRAIN)))
    for name, labels in (("entities", ENTITIES), ("relations", RELATIONS)):
        (folder / name).write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(labels)))
    maps = {"entity_to_id": folder / "entities", "relation_to_id": folder / "relations"}
    return ingest(folder / "train.txt", folder / "graph.zarr", **maps)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A folder on a disk that nothing waits for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield tmp_path_factory.mktemp("changed")


def ids_of(rows) -> list[list[int]]:
    """Look rows up: all integers are ids, otherwise all are labels."""
    if all(word.isdecimal() for row in rows for word in row[:3]):
        return [list(map(int, row[:3])) for row in rows]
    return [
        [ENTITIES.index(head), RELATIONS.index(relation), ENTITIES.index(tail)] for head, relation, tail, *_ in rows
    ]


def is_row(row: list[str], num_columns: int) -> bool:
    """Tell whether a line is one of a triple of the graph, in labels or in ids."""
    parts = (ENTITIES, RELATIONS, ENTITIES)
    known = [word in part or word in map(str, range(len(part))) for word, part in zip(row, parts, strict=False)]
    return len(row) == num_columns and all(known)


@MANY
@given(changed_files(LISTED), st.booleans())
def test_a_changed_file_of_training_triples_is_read_row_by_row_or_refused(folder, changed: Changed, skip_invalid: bool):
    path = changed.written(folder, "train.txt")
    maps = IdMap.of(ENTITIES), IdMap.of(RELATIONS)

    def num_rows_and_invalid_lines() -> int:
        invalid = InvalidLines()
        return sum(map(len, open_triples(path).blocks(*maps, invalid=invalid))) + invalid.counts.total()

    if skip_invalid:
        check_read(path, num_rows_and_invalid_lines, lambda: len(changed.lines))
    else:
        check_read(path, lambda: read_triples(path, *maps).tolist(), lambda: ids_of(changed.table()))


def num_lines(found: tests_in_file.TestsInFile) -> int:
    """Count the lines that were read or skipped."""
    return len(found.triples) + sum(found.skipped.values())


@MANY
@given(changed_files(LISTED), st.booleans())
def test_a_changed_file_of_test_triples_is_read_row_by_row_or_refused(
    folder, store, changed: Changed, skip_invalid: bool
):
    path = changed.written(folder, "test.txt")

    def read() -> object:
        found = read_tests(path, store, skip_invalid=skip_invalid)
        return num_lines(found), None if found.skipped else found.triples.tolist()

    def wanted() -> object:
        rows = changed.table(allow_spaces=True)
        return len(rows), ids_of(rows) if all(is_row(row, 3) for row in rows) else None

    check_read(path, read, wanted)


GROUPED = st.one_of(TRIPLES, TRIPLES.map(with_ids)).flatmap(
    lambda rows: st.lists(st.sampled_from(GROUPS), min_size=len(rows), max_size=len(rows)).map(
        lambda groups: lines_of((*row, group) for row, group in zip(rows, groups, strict=True))
    )
)


@MANY
@given(changed_files(GROUPED), st.booleans())
def test_a_changed_file_of_sets_of_test_triples_is_read_row_by_row_or_refused(
    folder, store, changed: Changed, skip_invalid: bool
):
    path = changed.written(folder, "sets.txt")

    def read() -> object:
        found = read_tests_in_sets(path, store, skip_invalid=skip_invalid)
        return num_lines(found), None if found.skipped else (found.triples.tolist(), found.sets)

    def wanted() -> object:
        rows = changed.table()
        is_whole = all(is_row(row, 4) and is_field(row[3]) for row in rows)
        return len(rows), (ids_of(rows), tuple(row[3] for row in rows)) if is_whole else None

    check_read(path, read, wanted)


@MANY
@given(changed_files(LISTED))
def test_a_changed_list_of_training_triples_is_read_row_by_row_or_refused(folder, store, changed: Changed):
    path = changed.written(folder, "listed.txt")

    def wanted() -> list[list[int]]:
        return sorted(map(list, {tuple(triple) for triple in ids_of(changed.table(allow_spaces=True))}))

    check_read(path, lambda: np.unique(read_training_triples(path, store).triples, axis=0).tolist(), wanted)


ORDERS = st.permutations(list(enumerate(ENTITIES))).flatmap(
    lambda pairs: st.sampled_from(
        [
            [f"{label}\t{number}" for number, label in pairs],
            [f"{number}\t{label}" for number, label in pairs],
            [str(len(pairs)), *(f"{label}\t{number}" for number, label in pairs)],
            ["label\tid", *(f"{label}\t{number}" for number, label in pairs)],
        ]
    )
)


@MANY
@given(changed_files(ORDERS))
def test_a_changed_id_map_is_read_line_by_line_or_refused(folder, changed: Changed):
    path = changed.written(folder, "map.tsv")

    def wanted() -> list[tuple[str, str]]:
        rows = changed.table()
        rows = rows[1:] if len(rows[0]) == 1 else rows
        rows = rows[1:] if "id" in map(str.lower, rows[0]) else rows
        return sorted(tuple(sorted(row)) for row in rows)

    def read() -> list[tuple[str, str]]:
        labels = read_id_map(path).labels.to_pylist()
        return sorted(tuple(sorted((label, str(number)))) for number, label in enumerate(labels))

    check_read(path, read, wanted)


WITH_GROUPS = st.tuples(st.permutations(TRAIN), st.lists(st.sampled_from(GROUPS), min_size=6, max_size=6)).map(
    lambda drawn: lines_of((*row, group) for row, group in zip(*drawn, strict=True))
)
NUMBERS_OF_GROUPS = itertools.count()


@MANY
@given(changed_files(WITH_GROUPS), st.booleans())
def test_a_changed_file_of_groups_gives_every_row_the_group_of_its_line_or_is_refused(
    folder, store, changed: Changed, skip_invalid: bool
):
    path = changed.written(folder, "groups.tsv")
    output = folder / f"{next(NUMBERS_OF_GROUPS)}.zarr"
    block = store.read(0, len(store))
    rows = np.argsort(block.train_index)

    def read() -> tuple[list[str], int]:
        groups = ingest_groups(path, store, output, options=GroupOptions(skip_invalid=skip_invalid))
        numbers = groups.read(0, len(store))[rows]
        return [groups.labels.label(number) for number in numbers], sum(groups.info.skipped.values())

    def wanted() -> tuple[list[str], int]:
        of_triple, num_skipped = defaultdict(list), 0
        for row in changed.table():
            if tuple(row[:3]) in TRAIN and len(row) == 4 and is_field(row[3]):
                of_triple[tuple(row[:3])].append(row[3])
            else:
                num_skipped += 1
        occurrence = [TRAIN[:place].count(triple) for place, triple in enumerate(TRAIN)]
        found = [
            of_triple[triple][place if len(set(of_triple[triple])) > 1 else 0]
            for triple, place in zip(TRAIN, occurrence, strict=True)
        ]
        return found, num_skipped

    check_read(path, read, wanted)


@pytest.fixture(scope="module")
def parquet(folder) -> bytes:
    table = pa.table({name: [row[place] for row in TRAIN] for place, name in enumerate(("head", "relation", "tail"))})
    table = table.append_column("sources", pa.array([["x", "y"]] * len(TRAIN)))
    pa.parquet.write_table(table, folder / "whole.parquet", row_group_size=4)
    return (folder / "whole.parquet").read_bytes()


@settings(MANY, derandomize=True)  # other files could make pyarrow end the process
@given(st.sampled_from(["flip a bit", "flip a bit", "cut the end", "insert"]), st.integers(0), st.integers(0, 7))
def test_a_changed_parquet_file_is_read_with_every_row_or_refused(folder, parquet, change, place, what):
    path = folder / "train.parquet"
    path.write_bytes(parquet[:4] + CHANGES[change](parquet[4:], place, what))  # the first bytes say that it is Parquet

    def num_rows_and_invalid_rows() -> int:
        invalid = InvalidLines()
        heads = [table.columns[0].to_pylist() for table in open_triples(path).tables(invalid)]
        return sum(map(len, heads)) + invalid.counts.total()

    check_read(path, num_rows_and_invalid_rows, lambda: len(TRAIN))
