"""Explanations made elsewhere: lines of a prediction and one training triple that explains it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.places.files import read_bytes
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of
from tracin_dask.validation.graph import StudyGraph

Triple = tuple[int, int, int]
FIELDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a file says explains each prediction.

    Attributes
    ----------
    rows
        The rows of the store that equal a fact of a prediction, by the prediction's ids.
    """

    name: str
    rows: Mapping[Triple, tuple[int, ...]]


def read_facts(path: AnyPath, graph: StudyGraph) -> Facts:
    """Read lines of labels: head, relation, tail of a prediction, then those of a training triple, between tabs.

    Raises
    ------
    TriplesError
        If a line has not six fields, a label is unknown, or a fact is no training triple; with file and line.
    """
    lines = [line.split("\t") for line in read_bytes(path).decode(errors="replace").splitlines()]
    for number, fields in enumerate(lines, start=1):
        if len(fields) != FIELDS:
            expected = "expected a prediction and a fact, six between tabs"
            raise TriplesError(f"{path}:{number}: {len(fields)} field(s); {expected}")
    if not lines:
        raise TriplesError(f"{path} has no lines; expected predictions with a fact each")
    places, found = _Rows.of(graph.triples, graph.store.info.num_relations), dict[Triple, list[int]]()
    for number, (fields, ids) in enumerate(zip(lines, _ids(lines, graph, str(path)), strict=True), start=1):
        rows = places.equal_to(ids[3:])
        if not len(rows):
            raise TriplesError(f"{path}:{number}: {' '.join(fields[3:])} is no training triple; leave the line out")
        found.setdefault((ids[0], ids[1], ids[2]), []).extend(rows.tolist())
    name = PurePath(place_of(path).name).stem
    return Facts(name=name, rows={triple: tuple(dict.fromkeys(rows)) for triple, rows in found.items()})


def common_predictions(facts: tuple[Facts, ...]) -> Int[ndarray, "prediction 3"]:
    """Give the predictions that all files explain, in the order of the first.

    Raises
    ------
    ConfigError
        If there is none.
    """
    first, *others = facts
    found = [triple for triple in first.rows if all(triple in other.rows for other in others)]
    if not found:
        raise ConfigError(
            f"{', '.join(one.name for one in facts)} have no prediction in common; give files of one graph"
        )
    return np.array(found, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Finds the rows that equal a triple; the rows of a store are sorted."""

    keys: ndarray
    num_relations: int
    tails: ndarray

    @classmethod
    def of(cls, triples: ndarray, num_relations: int) -> "_Rows":
        keys = triples[:, 0].astype(np.int64) * num_relations + triples[:, 1]
        return cls(keys=keys, num_relations=num_relations, tails=triples[:, 2])

    def equal_to(self, triple: Sequence[int]) -> ndarray:
        head, relation, tail = triple
        start, stop = np.searchsorted(self.keys, head * self.num_relations + relation + np.arange(2))
        found: ndarray = start + np.flatnonzero(self.tails[start:stop] == tail)
        return found


def _ids(lines: list[list[str]], graph: StudyGraph, path: str) -> list[list[int]]:
    """Look up the labels of all lines."""
    kinds = ("entity", "relation", "entity") * 2
    maps = {"entity": graph.store.entities, "relation": graph.store.relations}
    columns = [maps[kind].ids([fields[place] for fields in lines]) for place, kind in enumerate(kinds)]
    ids = np.stack(columns, axis=1)
    for line, place in np.argwhere(ids < 0).tolist():
        label = lines[line][place]
        raise TriplesError(
            f"{path}:{line + 1}: the graph has no {kinds[place]} {label!r}; give the labels of its training triples"
        )
    found: list[list[int]] = ids.tolist()
    return found
