"""Test triples from a file: one per line, where a fourth column may name the set of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.places.stream import input_place
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.formats import find_format
from tracin_dask.triples.integers import are_ids, maps_of
from tracin_dask.triples.lines import InvalidLines, Table
from tracin_dask.triples.named import named_ids
from tracin_dask.triples.shape import PLAIN, ROLES, Shape
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.suggestions import meant_in
from tracin_dask.triples.text import TripleText, holds_ids, known_triples, open_triples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TestsInFile:
    """The test triples of a file, in its order."""

    triples: Int64[ndarray, "test 3"]
    sets: tuple[str, ...] | None = None
    """The name of each one's set, where the file names sets."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Lines of the file that were left out, by what is wrong with them."""


def read_tests(
    path: AnyPath,
    store: TripleStore,
    *,
    labels: bool = False,
    ids: bool = False,
    skip_invalid: bool = False,
    shape: Shape = PLAIN,
) -> TestsInFile:
    """Read lines of `head TAB relation TAB tail`, or with spaces between them, or of another `shape`.

    Bare integers are what is stated, `labels` or `ids`, or else ids. Other texts are labels, or readable names that
    only one entity or relation has. With `skip_invalid`, lines that are malformed or have an unknown id, label or name
    are left out and counted.

    Raises
    ------
    TriplesError
        If there are such lines, or no line is left; or if integers could be ids or labels.
    """
    maps, invalid = maps_of(store.entities, store.relations), InvalidLines()
    text = open_triples(path, maps, labels=labels, ids=ids, shape=shape, allow_spaces=True)
    block = concatenate(text.blocks(*named_ids(store), invalid=invalid))
    _refuse(text, store, invalid, skip_invalid=skip_invalid)
    return TestsInFile(triples=_some(block.triples, text), skipped=dict(invalid.counts))


def read_tests_in_sets(
    path: AnyPath,
    store: TripleStore,
    *,
    labels: bool = False,
    ids: bool = False,
    skip_invalid: bool = False,
    shape: Shape = PLAIN,
) -> TestsInFile:
    """Read lines of `head TAB relation TAB tail TAB set`; otherwise as `read_tests`."""
    place, invalid = input_place(path), InvalidLines()
    form = find_format(place, shape, num_columns=len(ROLES) + 1)
    maps = maps_of(store.entities, store.relations)
    has_ids = are_ids(partial(holds_ids, form), maps, labels=labels, ids=ids, where=place)
    text = TripleText(path=place, format=form, has_ids=has_ids)
    found: list[TripleBlock] = []
    sets: list[str] = []
    lookups = named_ids(store)
    for table in text.tables(invalid):
        triples = Table(columns=table.columns[: len(ROLES)], line_index=table.line_index)
        known = known_triples(triples, *lookups, has_ids=has_ids, invalid=invalid)
        found.append(known)
        sets += table.columns[len(ROLES)].take(np.searchsorted(table.line_index, known.train_index)).to_pylist()
    _refuse(text, store, invalid, skip_invalid=skip_invalid)
    return TestsInFile(triples=_some(concatenate(found).triples, text), sets=tuple(sets), skipped=dict(invalid.counts))


def _refuse(text: TripleText, store: TripleStore, invalid: InvalidLines, *, skip_invalid: bool) -> None:
    if not skip_invalid:
        hint = ", or pass --skip-invalid to leave such lines out"
        text.refuse(invalid, hint=hint, explain=partial(meant_in, store))


def _some(triples: Int64[ndarray, "test 3"], text: TripleText) -> Int64[ndarray, "test 3"]:
    """Refuse a file without any triple."""
    if not len(triples):
        raise TriplesError(f"{text.path}: the file has no triples; expected lines of `head TAB relation TAB tail`")
    return triples
