"""Readable names of entities and relations whose labels are codes."""

import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.stream import input_place
from tracin_dask.triples.idmap import IdMap, bare_integers, say_nothing
from tracin_dask.triples.named_table import NamedTable, read_named_table
from tracin_dask.triples.opening import open_text

_QUALIFIERS = {
    "object_aspect_qualifier": "",
    "object_direction_qualifier": "",
    "subject_aspect_qualifier": "subject ",
    "subject_direction_qualifier": "subject ",
}


def read_names(
    path: AnyPath,
    entities: IdMap,
    *,
    labels: bool = False,
    ids: bool = False,
    say: Callable[[str], object] = say_nothing,
) -> pa.StringArray:
    """Read the names of entities in id order; names may repeat, and an entity without a name gets "".

    The file has lines of a name and an id, or of a name and a label, between them a tab, in either order, with or
    without a header. Or it is a file of nodes as KGX writes it: JSON lines, or lines with tabs below a header, with an
    `id`, which is the label of an entity, and a `name`. Labels that the graph does not have are left out; `say` gets
    their number. `labels` and `ids` state what integers are, where they could be either.

    Raises
    ------
    TriplesError
        If a line is malformed, an id is not one of the graph's, an entity has two names, no label is of the graph, or
        the columns could be read in two ways.
    """
    place = input_place(path)
    found = read_named_table(place, entities, labels=labels, ids=ids)
    if found.are_ids:
        return _numbered_names(place, found, len(entities))
    return _names_at_labels(place, found, entities, say)


def _names_at_labels(place: Place, found: NamedTable, entities: IdMap, say: Callable[[str], object]) -> pa.StringArray:
    """Put names at the ids of their labels."""
    names = np.full(len(entities), "", dtype=object)
    ids, labels = entities.ids(found.keys).tolist(), found.keys.to_pylist()
    lines = (found.table.line_index + 1).tolist()
    for label, name, number, line in zip(labels, found.names.to_pylist(), ids, lines, strict=True):
        if number >= 0 and names[number] not in ("", name):
            raise TriplesError(f"{place}, line {line}: {label!r} has a second name, {name!r}; expected one")
        if number >= 0:
            names[number] = name
    unknown = sum(number < 0 for number in ids)
    if unknown == len(ids):
        raise TriplesError(
            f"{place}: none of its {len(ids):,} names is of an entity of the graph; expected ids, or labels of "
            f"entities, such as {entities.label(0)!r}"
        )
    if unknown:
        say(f"{place}: {unknown:,} of {len(ids):,} names are of entities that the graph does not have")
    return pa.array(names, pa.string())


def _numbered_names(path: Place, found: NamedTable, num_entities: int) -> pa.StringArray:
    names = np.full(num_entities, "", dtype=object)
    named = np.zeros(num_entities, dtype=bool)
    ids = bare_integers(found.keys)
    for row, (name, number) in enumerate(zip(found.names.to_pylist(), ids.tolist(), strict=True)):
        if not 0 <= number < num_entities or named[number]:
            reason = f"expected an id from 0 to {num_entities - 1:,}, each at most once, or only labels of entities"
            raise TriplesError(f"{path}, line {found.table.line_index[row] + 1}: {found.table.text(row)!r}: {reason}")
        names[number], named[number] = name, True
    return pa.array(names, pa.string())


def read_edge_map(path: AnyPath, relations: IdMap) -> pa.StringArray:
    """Read an edge map into readable relations in id order, e.g. `biolink:affects (expression, increased)`.

    The file is a JSON object; each key is again JSON text, an object of a predicate and its qualifiers, each value a
    relation label such as `predicate:4`. A relation that the file does not name gets ""; where two relations would
    read the same, their labels are added in brackets.

    Raises
    ------
    TriplesError
        If the file has another form, or names one relation twice.
    """
    readable: dict[str, str] = {}
    for key, label in _read_texts(_read_bytes(path), str(path)).items():
        where = f"{path}: key {key!r}"
        if label in readable:
            raise TriplesError(f"{where}: the relation label {label!r} appears a second time; expected each only once")
        readable[label] = _readable(_read_texts(key, where), where)
    times = Counter(readable.values())
    names = {label: f"{text} [{label}]" if times[text] > 1 else text for label, text in readable.items()}
    return pa.array([names.get(label, "") for label in relations.labels.to_pylist()], pa.string())


def _read_bytes(path: AnyPath) -> bytes:
    with open_text(path) as file:
        return file.read()


def _read_texts(text: str | bytes, where: str) -> dict[str, str]:
    """Read a JSON object whose values are texts."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise TriplesError(f"{where}: {text[:100]!r}: expected JSON: {error}") from error
    if not isinstance(found, dict):
        raise TriplesError(f"{where}: {text[:100]!r}: expected a JSON object, found {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(value, str):
            raise TriplesError(f"{where}: {name!r} is {value!r}; expected a text")
    return found


def _readable(edge: dict[str, str], where: str) -> str:
    for name, text in edge.items():
        if len(f"{name}{text}.".splitlines()) > 1:
            raise TriplesError(f"{where}: {name!r} is {text!r}; expected texts without line breaks")
    predicate = edge.get("predicate")
    if not predicate:
        raise TriplesError(f'{where}: expected "predicate" with a text')
    others = [name for name in edge if name not in _QUALIFIERS and name != "predicate"]
    qualifiers = []
    for name in [*_QUALIFIERS, *others]:
        value = edge.get(name)
        if value:
            qualifiers.append(f"{_QUALIFIERS.get(name, f'{name} ')}{value}")
    return f"{predicate} ({', '.join(qualifiers)})" if qualifiers else predicate
