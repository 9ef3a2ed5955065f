"""What a text that is no label and no unique name may have been meant for, from the labels and names of a graph."""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.lines import SHOWN_CHARACTERS, InvalidLine
from tracin_dask.triples.near_twins import twins_of
from tracin_dask.triples.shape import ROLES
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.write import StoreTexts

MOST_CANDIDATES = 5
"""The ids that a message lists for a name that several have."""
_MOST_SUGGESTIONS = 3


def why_unknown(store: TripleStore, given: str | int, role: str) -> str:
    """Say why there is no id for a text or an id, what it may have been meant for, and how many the store knows."""
    names = _texts(store, role)[1]
    if isinstance(given, str) and names is not None:
        same = _with_name(names, given)
        if len(same) > 1:
            return f"is ambiguous{_candidates(store, same, role)}"
    number = store.info.num_relations if role == "relation" else store.info.num_entities
    return f"is not among the {number:,} that {store.path} knows{meant(store, given, role)}"


def meant(known: TripleStore | StoreTexts, given: str | int, role: str) -> str:
    """Say what an unknown text may have been meant for; nothing for an id."""
    if not isinstance(given, str):
        return ""
    mine, names = _texts(known, role)
    same = [] if names is None else _with_name(names, given)
    if len(same) == 1:
        return f" (it is the readable name of {mine.label(same[0])}: give that label)"
    if same:
        return _candidates(known, same, role)
    twins = twins_of(given, mine)
    if twins:
        return (
            f" (did you mean {twins[0]!a}? It differs from {given!a} only by blanks, invisible characters or Unicode "
            "form)"
        )
    others, other_kind = (known.entities, "an entity") if role == "relation" else (known.relations, "a relation")
    if others.ids([given])[0] >= 0:
        return f" (it is {other_kind}: are they in the order head, relation, tail, and the id maps not exchanged?)"
    found = _like(mine, names, given)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def meant_in(known: TripleStore | StoreTexts, line: InvalidLine) -> str:
    """Say what the unknown label of a line may have been meant for; nothing for another fault."""
    fields = line.text.split("\t")
    is_cut = len(line.text) >= SHOWN_CHARACTERS
    for role, label in zip(ROLES, fields, strict=False):
        if line.kind in {f"unknown {role} label", f"ambiguous {role} name"} and not is_cut:
            return meant(known, label, role)
    return ""


def _texts(known: TripleStore | StoreTexts, role: str) -> tuple[IdMap, pa.StringArray | None]:
    """Give the labels and names of what a part of a triple can be."""
    if role == "relation":
        return known.relations, known.relation_names
    return known.entities, known.entity_names


def _with_name(names: pa.StringArray, given: str) -> list[int]:
    """Find the ids that have a name."""
    found: list[int] = pc.indices_nonzero(pc.equal(names, given)).to_pylist() if given else []
    return found


def _candidates(known: TripleStore | StoreTexts, ids: Sequence[int], role: str) -> str:
    """List the first labels of those that share a name."""
    mine = _texts(known, role)[0]
    kind = "relations" if role == "relation" else "entities"
    shown = ", ".join(f"{mine.label(number)} (id {number})" for number in ids[:MOST_CANDIDATES])
    more = f" and {len(ids) - MOST_CANDIDATES:,} more" if len(ids) > MOST_CANDIDATES else ""
    return f" (it is the readable name of {len(ids):,} {kind}: {shown}{more}; give the label of one)"


def _like(mine: IdMap, names: pa.StringArray | None, given: str) -> list[str]:
    """Suggest up to three labels, or names with their labels; what follows the last colon counts, too."""
    labels = [mine.label(place) for place in _ending_alike(mine.labels, given)]
    found = [*labels, *mine.like(given)] if ":" not in given else [*mine.like(given), *labels]
    if names is not None:
        found += _named_like(mine, names, given)
    return list(dict.fromkeys(found))[:_MOST_SUGGESTIONS]


def _named_like(mine: IdMap, names: pa.StringArray, given: str) -> list[str]:
    """Suggest names that are alike, that end alike, or that add something in brackets; each with its label."""
    longer = pc.indices_nonzero(pc.starts_with(names, f"{given} (")).to_pylist()[:_MOST_SUGGESTIONS]
    near = [_with_name(names, name)[0] for name in IdMap(labels=names).like(given)]
    places = dict.fromkeys([*_ending_alike(names, given), *longer, *near])
    return [f"{names[place].as_py()} ({mine.label(place)})" for place in places]


def _ending_alike(texts: pa.StringArray, given: str) -> list[int]:
    """Find texts that have the same part behind their last colon: DB01586 in Compound::DB01586."""
    end = given.rpartition(":")[2]
    if not re.search(r"\w", end):
        return []
    is_alike = pc.or_(pc.equal(texts, end), pc.ends_with(texts, f":{end}"))
    found: list[int] = np.flatnonzero(is_alike.to_numpy(zero_copy_only=False))[:_MOST_SUGGESTIONS].tolist()
    return found
