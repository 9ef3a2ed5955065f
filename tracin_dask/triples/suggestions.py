"""What an unknown label may have been meant for, from the labels and readable names of a graph."""

import pyarrow.compute as pc

from tracin_dask.triples.lines import SHOWN_CHARACTERS, InvalidLine
from tracin_dask.triples.near_twins import twins_of
from tracin_dask.triples.shape import ROLES
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.write import StoreTexts


def meant(known: TripleStore | StoreTexts, given: str | int, role: str) -> str:
    """Say what an unknown label may have been meant for; nothing for an id."""
    if not isinstance(given, str):
        return ""
    mine, others, other_kind, names = known.entities, known.relations, "a relation", known.entity_names
    if role == "relation":
        mine, others, other_kind, names = known.relations, known.entities, "an entity", known.relation_names
    named = -1 if names is None else int(pc.index(names, given).as_py())
    if named >= 0:
        return f" (it is the readable name of {mine.label(named)}: give that label)"
    twins = twins_of(given, mine)
    if twins:
        return (
            f" (did you mean {twins[0]!a}? It differs from {given!a} only by blanks, invisible characters or Unicode "
            "form)"
        )
    if others.ids([given])[0] >= 0:
        return f" (it is {other_kind}: are they in the order head, relation, tail, and the id maps not exchanged?)"
    found = mine.like(given)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def meant_in(known: TripleStore | StoreTexts, line: InvalidLine) -> str:
    """Say what the unknown label of a line may have been meant for; nothing for another fault."""
    fields = line.text.split("\t")
    is_cut = len(line.text) >= SHOWN_CHARACTERS
    for role, label in zip(ROLES, fields, strict=False):
        if line.kind == f"unknown {role} label" and not is_cut:
            return meant(known, label, role)
    return ""
