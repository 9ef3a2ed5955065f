"""Inverse relations in a relation map, recognised by their names, and where they stand."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.triples.idmap import IdMap
from tracin_dask.types import ALTERNATING, APPENDED, InverseOrder

_WORD = "(?:inverse|reverse|reciprocal|inv|rev)"
_MARKED = re.compile(rf"(?:{_WORD}[_\- :]|~)(?P<after>.+)|(?P<before>.+?)(?:[_\- :]{_WORD}|~)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class InversePair:
    """A relation and its inverse: their labels and ids."""

    relation: str
    relation_id: int
    inverse: str
    inverse_id: int

    def __str__(self) -> str:
        """Name both with their ids."""
        return f"{self.relation!r} is {self.relation_id} and {self.inverse!r} is {self.inverse_id}"


def pair_out_of_order(relations: IdMap, order: InverseOrder) -> InversePair | None:
    """Find a relation whose inverse stands elsewhere than an order says; None if there is none.

    Only maps are judged in which every relation has an inverse by its name, and nothing else is there: in other graphs,
    inverses are relations like others.
    """
    pairs = _pairs(relations)
    if 2 * len(pairs) != len(relations):
        return None
    for pair in pairs:
        expected = (
            (pair.relation_id - pair.relation_id % 2, pair.relation_id + 1)
            if order == ALTERNATING
            else (pair.relation_id, pair.relation_id + len(pairs))
        )
        if (pair.relation_id, pair.inverse_id) != expected:
            return pair
    return None


def order_of(relations: IdMap) -> InverseOrder | None:
    """Give the order of a map in which every relation has an inverse by its name; None for another one."""
    if 2 * len(_pairs(relations)) != len(relations):
        return None
    return next((order for order in (ALTERNATING, APPENDED) if pair_out_of_order(relations, order) is None), None)


def inverses_of(relations: IdMap) -> Int64[ndarray, " relation"] | None:
    """Give the id of every relation's inverse; None for a map in which not every relation has one by its name."""
    pairs = _pairs(relations)
    found = np.full(len(relations), -1, dtype=np.int64)
    for pair in pairs:
        found[[pair.relation_id, pair.inverse_id]] = pair.inverse_id, pair.relation_id
    return None if 2 * len(pairs) != len(relations) or (found < 0).any() else found


def _pairs(relations: IdMap) -> list[InversePair]:
    """Pair the labels that are marked as inverses with the relations that they are the inverses of."""
    ids: Mapping[str, int] = {label: number for number, label in enumerate(relations.labels.to_pylist())}
    pairs = []
    for label, number in ids.items():
        marked = _MARKED.fullmatch(label)
        relation = (marked["after"] or marked["before"]) if marked else ""
        if relation in ids:
            pair = InversePair(relation=relation, relation_id=ids[relation], inverse=label, inverse_id=number)
            pairs.append(pair)
    return pairs
