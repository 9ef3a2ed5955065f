"""The lines of the training file that have the same triple as a test triple, or have it backwards."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.training_triples import find_training_triples


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualLines:
    """The lines, counted from 0, of one triple."""

    same: Int[ndarray, " _"]
    backwards: Int[ndarray, " _"]
    """None for a triple of an entity with itself."""


def equal_lines(store: TripleStore, triples: Int[ndarray, "row 3"]) -> list[EqualLines]:
    """Find the lines of all triples in one search of the store."""
    backwards = triples[:, ::-1]
    found, _ = find_training_triples(store, np.unique(np.concatenate([triples, backwards]), axis=0))
    lines = defaultdict[tuple[int, ...], list[int]](list)
    for triple, line in zip(found.triples.tolist(), found.train_index.tolist(), strict=True):
        lines[tuple(triple)].append(line)
    return [
        EqualLines(same=_array(lines[tuple(one)]), backwards=_array([] if one[0] == one[2] else lines[tuple(other)]))
        for one, other in zip(triples.tolist(), backwards.tolist(), strict=True)
    ]


def _array(lines: list[int]) -> Int[ndarray, " line"]:
    return np.array(lines, dtype=np.int64)
