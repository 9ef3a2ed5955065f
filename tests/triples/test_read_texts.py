"""Texts of a store are read back as they were written, whichever way they take."""

import numpy as np
import pytest
import zarr

from tracin_dask.triples.arrays import read_texts
from tracin_dask.triples.store import MISSING_TEXT
from tracin_dask.triples.write import create_array


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "", "bcd"],
        ["", ""],
        ["é", "a"],
        ["a\0", "b"],
        ["x" * 300, "y"],
        ["CHEBI:1", "μ opioid", "🦠"],
    ],
)
def test_texts_of_any_characters_and_lengths_are_read_back(texts):
    group = zarr.create_group(zarr.storage.MemoryStore(), zarr_format=3)
    create_array(group, "label", (len(texts),), str, fill_value=MISSING_TEXT)[:] = np.array(texts, object)
    assert read_texts(group, "label", len(texts), "graph.zarr", "ingest again").to_pylist() == texts
