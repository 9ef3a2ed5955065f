"""From triples as a caller gives them, ids, labels or names, to ids of a store."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.triples.named import named_ids
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.suggestions import why_unknown

ROLES = ("head", "relation", "tail")


@runtime_checkable
class DataFrame(Protocol):
    """A table with named columns, such as one of pandas."""

    @property
    def columns(self) -> Any:  # noqa: ANN401 - each library has its own type
        """The names of the columns."""
        ...

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a column, or whatever else the library gives
        """Give a column by its name."""
        ...


TestTriples = ndarray | Sequence[Sequence[int]] | Sequence[Sequence[str]] | DataFrame
"""Triples as ids, or as labels and unique names: an array [test, 3], tuples (head, relation, tail), or a table."""


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
        role = ROLES[column]
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
        table = np.array(_rows(triples, expected))
    except ValueError as error:
        raise ConfigError(f"{expected}, found rows of different lengths ({error})") from error
    if table.ndim != 2 or table.shape[1] != 3 or len(table) == 0:
        raise ConfigError(f"{expected}, found an array {table.shape}")
    if table.dtype.kind not in "iU":
        raise ConfigError(f"{expected}, found numbers of type {table.dtype}; ids are integers")
    return table


def _rows(triples: TestTriples, expected: str) -> Any:  # noqa: ANN401 - whatever a caller gives
    """Give rows of numbers or texts; of a table, from its columns head, relation and tail."""
    if isinstance(triples, ndarray):
        return triples.tolist()
    if not isinstance(triples, DataFrame):
        return triples
    missing = [role for role in ROLES if role not in triples.columns]
    if missing:
        found = ", ".join(map(str, triples.columns))
        raise ConfigError(f"{expected}; the table has no column {' and no '.join(missing)}, only {found}: rename them")
    return list(zip(*(list(triples[role]) for role in ROLES), strict=True))
