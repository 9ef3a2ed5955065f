"""Readable names of entities and relations whose labels are codes."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa

from tracin_dask.errors import TriplesError
from tracin_dask.places.files import read_bytes
from tracin_dask.places.place import AnyPath
from tracin_dask.triples.idmap import IdMap, bare_integers
from tracin_dask.triples.lines import read_table

_QUALIFIERS = {
    "object_aspect_qualifier": "",
    "object_direction_qualifier": "",
    "subject_aspect_qualifier": "subject ",
    "subject_direction_qualifier": "subject ",
}


def read_names(path: AnyPath, num_entities: int) -> pa.StringArray:
    """Read `name TAB id` lines into the names in id order; names may repeat, and an id without a name gets "".

    Raises
    ------
    TriplesError
        If a line is malformed, an id is not one of the graph's, or an id has two names.
    """
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
    try:
        return read_bytes(path)
    except OSError as error:
        raise TriplesError(f"{path}: cannot be read: {error.strerror}; check the path") from error


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
