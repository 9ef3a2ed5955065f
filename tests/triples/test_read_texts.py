"""Texts of a store are read back as they were written, by this version and by earlier ones."""

import numpy as np
import pyarrow as pa
import pytest
import zarr

from tracin_dask.errors import StoreError
from tracin_dask.triples.arrays import Arrays
from tracin_dask.triples.texts import MISSING_TEXT, count_texts, read_texts
from tracin_dask.triples.write import write_texts

TEXTS = [
    ["a", "", "bcd"],
    ["", ""],
    ["é", "a"],
    ["a\0", "b"],
    ["x" * 300, "y"],
    ["two\nlines", "a\ttab"],
    ["CHEBI:1", "μ opioid", "🦠"],
]


def arrays() -> Arrays:
    group = zarr.create_group(zarr.storage.MemoryStore(), zarr_format=3)
    return Arrays(group=group, path="graph.zarr", remedy="ingest again")


def older_texts(group: zarr.Group, name: str, texts: list[str]) -> None:
    """Write texts as versions before did."""
    group.create_array(name, shape=(len(texts),), dtype=str, fill_value=MISSING_TEXT)[:] = np.array(texts, object)


@pytest.mark.parametrize("texts", TEXTS)
def test_texts_of_any_characters_and_lengths_are_read_back(texts):
    made = arrays()
    write_texts(made.group, "label", pa.array(texts, pa.string()))
    assert count_texts(made, "label") == len(texts)
    assert read_texts(made, "label", len(texts)).to_pylist() == texts


@pytest.mark.parametrize("texts", TEXTS)
def test_texts_that_an_earlier_version_wrote_are_read_back(texts):
    made = arrays()
    older_texts(made.group, "label", texts)
    assert count_texts(made, "label") == len(texts)
    assert read_texts(made, "label", len(texts)).to_pylist() == texts


def test_a_part_of_an_array_of_an_earlier_version_that_is_missing_is_noticed():
    made = arrays()
    older_texts(made.group, "label", ["a", MISSING_TEXT])
    with pytest.raises(StoreError, match=r"graph\.zarr: a part of label is missing; ingest again"):
        read_texts(made, "label", 2)


def test_a_slice_of_texts_is_written_alone():
    made = arrays()
    write_texts(made.group, "label", pa.array(["a", "bc", "d"], pa.string())[1:2])
    assert read_texts(made, "label", 1).to_pylist() == ["bc"]


@pytest.mark.parametrize(
    ("ends", "contents", "reason"),
    [
        ([1, -1], b"ab", "a part of label is missing"),
        ([1, 2], b"a\xff", "a part of label is missing"),
        ([1, 3], b"ab", "label is damaged"),
        ([2, 1], b"ab", "label is damaged"),
        ([1, 2], b"\xc3\xa9", "label is damaged"),  # ends within a letter
    ],
)
def test_ends_and_contents_that_are_no_texts_are_refused(ends, contents, reason):
    made = arrays()
    for name, values in {"label": np.frombuffer(contents, np.uint8), "label_end": np.array(ends)}.items():
        made.group.create_array(name, data=values)
    with pytest.raises(StoreError, match=rf"graph\.zarr: {reason}.*ingest again"):
        read_texts(made, "label", 2)
