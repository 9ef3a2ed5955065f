"""The names and labels of triples, as a page shows them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.report.labels import ROLES, Labels, prefix
from tracin_dask.visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An entity or a relation."""

    id: int
    name: str
    """What people call it."""
    label: str
    """Its label, where that is another text; else empty."""
    kind: str
    """The prefix of its label, before `:`; empty without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTriple:
    """A triple of named parts."""

    head: Named
    relation: Named
    tail: Named

    def __str__(self) -> str:
        """Write the triple in one line."""
        return f"{self.head.name} — {self.relation.name} → {self.tail.name}"


def named(number: int, label: str, name: str | None) -> Named:
    """Name an entity or relation; characters that are not seen are written as escapes."""
    shown, below = visible(name or label), visible(label)
    return Named(id=number, name=shown, label="" if shown == below else below, kind=prefix(below))


def named_triples(labels: Labels, triples: Int[ndarray, "row 3"]) -> list[NamedTriple]:
    """Name the parts of triples."""
    columns = labels.columns(triples)
    parts = []
    for role in ROLES:
        ids, known = (columns[f"{role}{end}"].to_pylist() for end in ("", "_label"))
        names = columns[f"{role}_name"].to_pylist() if f"{role}_name" in columns else [None] * len(ids)
        parts.append([named(*one) for one in zip(ids, known, names, strict=True)])
    return [NamedTriple(head=head, relation=relation, tail=tail) for head, relation, tail in zip(*parts, strict=True)]


def named_triple(labels: Labels, head: int, relation: int, tail: int) -> NamedTriple:
    """Name the parts of one triple."""
    return named_triples(labels, np.array([[head, relation, tail]], np.int64))[0]
