"""The graph of a study: its training triples in the order of their store, and the triples that models are asked for."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.places.explained import writing
from tracin_dask.places.files import write_bytes
from tracin_dask.places.registry import place_of
from tracin_dask.triples.idmap import LABEL_FIRST, IdMap, write_id_map
from tracin_dask.triples.ingest import IngestOptions, ingest
from tracin_dask.triples.store import TripleStore, open_store
from tracin_dask.validation.seeds import generator_for

NOTHING = np.empty((0, 3), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyGraph:
    """A graph with test triples.

    Attributes
    ----------
    triples
        The training triples; row i is row i of the store.
    valid, test
        True triples that no model is trained on.
    """

    store: TripleStore
    triples: Int[ndarray, "row 3"]
    test: Int[ndarray, "test 3"]
    valid: Int[ndarray, "valid 3"]

    @classmethod
    def of(cls, store: TripleStore, test: Int[ndarray, "test 3"], valid: Int[ndarray, "valid 3"]) -> "StudyGraph":
        """Read the training triples of a store.

        Raises
        ------
        ConfigError
            If there are no test triples.
        """
        if not len(test):
            raise ConfigError("there are no test triples; give some with --test")
        triples = store.read(0, len(store)).triples.astype(np.int32)
        return cls(store=store, triples=triples, test=test.astype(np.int64), valid=valid.astype(np.int64))

    @property
    def known(self) -> Int[ndarray, "other 3"]:
        """The true triples that are no training triples."""
        return np.concatenate([self.test, self.valid])

    def sample(self, number: int, seed: int) -> Int[ndarray, "chosen 3"]:
        """Draw distinct test triples, in the order of the file; all where there are no more."""
        distinct = self.test[np.sort(np.unique(self.test, axis=0, return_index=True)[1])]
        drawn = generator_for(seed, "test triples").permutation(len(distinct))[:number]
        return distinct[np.sort(drawn)]


def store_of_triples(
    triples: Int[ndarray, "row 3"], maps: tuple[IdMap, IdMap], folder: Path, name: str = "graph"
) -> TripleStore:
    """Make a store of triples in a folder, or open the one that an earlier start made there.

    Raises
    ------
    ConfigError
        If the folder has a store of other triples.
    WriteError
        If it cannot be written.
    """
    path = folder / f"{name}.zarr"
    if path.exists():
        return _same_triples(open_store(path), triples)
    text, files = folder / f"{name}.txt", [folder / f"{kind}_to_id.tsv" for kind in ("entity", "relation")]
    with writing(folder, "the graph of the study"):
        place_of(folder).make_folder()
        for file, id_map in zip(files, maps, strict=True):
            write_id_map(file, id_map)
        lines = io.BytesIO()
        np.savetxt(lines, triples, fmt="%d", delimiter="\t")
        write_bytes(text, lines.getvalue())
    options = IngestOptions(ids=True, map_columns=LABEL_FIRST)
    return ingest(text, path, entity_to_id=files[0], relation_to_id=files[1], options=options)


def _same_triples(store: TripleStore, triples: Int[ndarray, "row 3"]) -> TripleStore:
    """Refuse a store of other triples."""
    found = store.read(0, len(store))
    if len(store) != len(triples) or (triples[found.train_index] != found.triples).any():
        raise ConfigError(
            f"{store.path} has other training triples than are given: the folder has a study of another graph; choose "
            "another --output-dir"
        )
    return store
