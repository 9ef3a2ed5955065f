"""Readable names of entities and relations whose labels are codes."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.stream import input_place
from tracin_dask.triples.idmap import IdMap, bare_integers
from tracin_dask.triples.lines import read_table
from tracin_dask.triples.nodes import has_nodes, read_nodes
from tracin_dask.triples.opening import open_text

_QUALIFIERS = {
    "object_aspect_qualifier": "",
    "object_direction_qualifier": "",
    "subject_aspect_qualifier": "subject ",
    "subject_direction_qualifier": "subject ",
}


def read_names(path: AnyPath, entities: IdMap) -> pa.StringArray:
    """Read the names of entities in id order; names may repeat, and an entity without a name gets "".

    The file has lines of `name TAB id`, or it is a file of nodes as KGX writes it: JSON lines, or lines with tabs below
    a header, with an `id`, which is the label of an entity, and a `name`. Nodes that the graph does not have are left
    out.

    Raises
    ------
    TriplesError
        If a line is malformed, an id is not one of the graph's, an id has two names, or no node is of the graph.
    """
    place = input_place(path)
    return _node_names(place, entities) if has_nodes(place) else _numbered_names(place, len(entities))


def _node_names(place: Place, entities: IdMap) -> pa.StringArray:
    """Put the names of nodes at the ids of their labels."""
    names = np.full(len(entities), "", dtype=object)
    nodes = [(label, name, line) for label, name, line in read_nodes(place) if name]
    ids = entities.ids([label for label, _, _ in nodes]).tolist()
    for (label, name, line), number in zip(nodes, ids, strict=True):
        if number >= 0 and names[number] not in ("", name):
            raise TriplesError(f"{place}, line {line}: {label!r} has a second name, {name!r}; expected one")
        if number >= 0:
            names[number] = name
    if max(ids, default=-1) < 0:
        raise TriplesError(
            f"{place}: none of its {len(nodes):,} named nodes is an entity of the graph; expected ids that are labels "
            f"of entities, such as {entities.label(0)!r}"
        )
    return pa.array(names, pa.string())


def _numbered_names(path: Place, num_entities: int) -> pa.StringArray:
    table = read_table(path, 2, expected="name TAB entity id")
    names = np.full(num_entities, "", dtype=object)
    named = np.zeros(num_entities, dtype=bool)
    ids = bare_integers(table.columns[1])
    for row, (name, number) in enumerate(zip(table.columns[0].to_pylist(), ids.tolist(), strict=True)):
        if not 0 <= number < num_entities or named[number]:
            reason = f"expected an id from 0 to {num_entities - 1:,}, each at most once"
            raise TriplesError(f"{path}, line {table.line_index[row] + 1}: {table.text(row)!r}: {reason}")
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
