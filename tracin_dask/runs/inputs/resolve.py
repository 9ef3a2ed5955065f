"""From triples as a caller gives them, ids, labels or names, to ids of a store."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.triples.named import named_ids
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.suggestions import why_unknown

TestTriples = ndarray | Sequence[Sequence[int]] | Sequence[Sequence[str]]
"""Triples as ids, or as labels and unique names: an array [test, 3], or tuples (head, relation, tail)."""


def resolve_triples(store: TripleStore, triples: TestTriples, what: str = "test triple") -> Int[ndarray, "listed 3"]:
    """Turn triples into ids; texts are labels, or names that only one has. Messages call one of them `what`.

    Raises
    ------
    ConfigError
        If there are none, or one does not have three parts, or has an unknown label, a name of several, or an id that
        is out of range.
    """
    table = _table(triples, what)
    if table.dtype.kind == "U":
        entities, relations = named_ids(store)
        maps = (entities, relations, entities)
        ids = np.stack([m.ids(table[:, column].tolist()) for column, m in enumerate(maps)], axis=1)
    else:
        ids = table.astype(np.int64)
    info = store.info
    wrong = (ids < 0) | (ids >= [info.num_entities, info.num_relations, info.num_entities])
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        role = ("head", "relation", "tail")[column]
        raise ConfigError(
            f"{what} {row + 1} of {len(ids)} {tuple(table[row].tolist())}: the {role} {table[row, column]!s} "
            f"{why_unknown(store, table[row, column].item(), role)}; "
            f"{int(wrong.any(axis=1).sum())} {what}(s) in all are unknown to it"
        )
    return ids


def _table(triples: TestTriples, what: str) -> ndarray:
    """Put triples into an array [test, 3] of integers or of texts."""
    expected = f"expected {what}s as rows of (head, relation, tail), ids or labels"
    try:
        table = np.array(triples.tolist() if isinstance(triples, ndarray) else triples)
    except ValueError as error:
        raise ConfigError(f"{expected}, found rows of different lengths ({error})") from error
    if table.ndim != 2 or table.shape[1] != 3 or len(table) == 0:
        raise ConfigError(f"{expected}, found an array {table.shape}")
    if table.dtype.kind not in "iU":
        raise ConfigError(f"{expected}, found numbers of type {table.dtype}; ids are integers")
    return table
