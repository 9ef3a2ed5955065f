"""Types of entities by the prefixes of their labels, and labels that differ only by case or blanks."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int, Int64
from numpy import ndarray

from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.near_twins import normal_forms

NO_PREFIX = ""
_PREFIX = r"^(?P<prefix>[^:]+):"
NUM_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRow:
    """The entities of a prefix."""

    prefix: str
    entities: int
    triples_as_head: int
    triples_as_tail: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikes:
    """Labels that differ from another one only by case, blanks, invisible characters or Unicode form."""

    number: int
    examples: tuple[tuple[str, str], ...]


def prefixes_of(labels: pa.StringArray) -> pa.StringArray:
    """Give what stands in front of the first colon of each label; "" where there is none."""
    found = pc.struct_field(pc.extract_regex(labels, pattern=_PREFIX), "prefix")
    prefixes: pa.StringArray = pc.fill_null(found, NO_PREFIX)
    return prefixes


def type_rows(triples: Int[ndarray, "row 3"], entities: IdMap) -> list[TypeRow]:
    """Count the entities and triples of each prefix, the most frequent first."""
    encoded = prefixes_of(entities.labels).dictionary_encode()
    kind, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    number = len(names)
    counts = np.bincount(kind, minlength=number)
    heads, tails = (np.bincount(kind[triples[:, column]], minlength=number) for column in (0, 2))
    order = sorted(range(number), key=lambda one: (-counts[one], names[one]))
    return [
        TypeRow(
            prefix=names[one],
            entities=int(counts[one]),
            triples_as_head=int(heads[one]),
            triples_as_tail=int(tails[one]),
        )
        for one in order
    ]


def look_alikes(id_map: IdMap) -> LookAlikes | None:
    """Find labels that look alike; None if there are none."""
    forms = pc.utf8_lower(normal_forms(id_map.labels)).dictionary_encode().indices.to_numpy()
    is_shared = np.bincount(forms)[forms] > 1
    if not is_shared.any():
        return None
    shared = np.flatnonzero(is_shared)
    first = _first_two(forms, shared)
    examples = tuple((id_map.label(one), id_map.label(other)) for one, other in first)
    return LookAlikes(number=len(shared), examples=examples)


def _first_two(forms: Int[ndarray, " label"], shared: Int64[ndarray, " shared"]) -> list[tuple[int, int]]:
    """Give the first two ids of the first few forms."""
    seen: dict[int, list[int]] = {}
    for number in shared.tolist():
        seen.setdefault(int(forms[number]), []).append(number)
        if len(seen) > NUM_EXAMPLES and all(len(found) > 1 for found in list(seen.values())[:NUM_EXAMPLES]):
            break
    return [(found[0], found[1]) for found in seen.values() if len(found) > 1][:NUM_EXAMPLES]
