"""From options to the questions for tails and heads, and to the entities that may be listed."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.cli.actions.inputs import words_are_ids
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.predict import PredictFlags
from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.runs.predictions.best import Among, AskedEnds, Role
from tracin_dask.triples.idmap import IdMap, bare_integers
from tracin_dask.triples.integers import are_ids, maps_of
from tracin_dask.triples.lines import read_table
from tracin_dask.triples.named import NamedIds, named_ids
from tracin_dask.triples.preparing.kinds import prefixes_of
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.suggestions import why_unknown

_LISTED_PREFIXES = 20


def asked_ends(options: JobFlags, store: TripleStore) -> list[AskedEnds]:
    """Read --tails-of and --heads-of, in this order.

    Raises
    ------
    ConfigError
        If an id or a label is unknown.
    """
    given = cast("PredictFlags", options)
    tails = [_asked("tail", head, relation, options, store) for head, relation in given["tails_of"]]
    return tails + [_asked("head", tail, relation, options, store) for relation, tail in given["heads_of"]]


def asked_words(asked: AskedEnds, store: TripleStore) -> str:
    """Name what is given: head and relation, or relation and tail."""
    names = store.entity_names
    entity = (names[asked.entity].as_py() if names is not None else "") or store.entities.label(asked.entity)
    names = store.relation_names
    relation = (names[asked.relation].as_py() if names is not None else "") or store.relations.label(asked.relation)
    return f"{entity} — {relation}" if asked.role == "tail" else f"{relation} — {entity}"


def among_of(options: JobFlags, store: TripleStore) -> Among:
    """Read which entities may be listed.

    Raises
    ------
    ConfigError
        If no entity has a type, or none is left.
    TriplesError
        If the file of candidates cannot be used.
    """
    given = cast("PredictFlags", options)
    chosen: Bool[ndarray, " entity"] | None = None
    if given["candidates_type"]:
        chosen = _of_types(given["candidates_type"], store.entities)
    if given["candidates"] is not None:
        listed = np.zeros(len(store.entities), dtype=bool)
        listed[_listed(given["candidates"], given, store)] = True
        chosen = listed if chosen is None else chosen & listed
        if not chosen.any():
            raise ConfigError("--candidates names no entity of --candidates-type; leave one of them out")
    return Among(top=given["top"], entities=chosen, keep_known=given["keep_known"])


def _asked(role: Role, entity: str, relation: str, options: JobFlags, store: TripleStore) -> AskedEnds:
    option = f"--{role}s-of"
    maps = maps_of(store.entities, store.relations)
    is_id = words_are_ids([(entity, relation)], maps, options, option)
    entities, relations = named_ids(store)
    return AskedEnds(
        role=role,
        entity=_id(entity, entities, option, "tail" if role == "head" else "head", store, is_id=is_id),
        relation=_id(relation, relations, option, "relation", store, is_id=is_id),
    )


def _id(word: str, known: NamedIds, option: str, role: str, store: TripleStore, *, is_id: bool) -> int:
    number = int(word) if is_id else int(known.ids([word])[0])
    if not 0 <= number < len(known):
        raise ConfigError(f"{option}: the {role} {word} {why_unknown(store, number if is_id else word, role)}")
    return number


def _of_types(types: Sequence[str], entities: IdMap) -> Bool[ndarray, " entity"]:
    prefixes = prefixes_of(entities.labels)
    known = pc.value_counts(prefixes).to_pylist()
    for one in types:
        if one not in {count["values"] for count in known}:
            common = sorted(known, key=lambda count: -count["counts"])[:_LISTED_PREFIXES]
            named = ", ".join(count["values"] or "(none)" for count in common)
            raise ConfigError(f"--candidates-type {one}: no label of an entity starts with {one}:; there are: {named}")
    return np.isin(np.array(prefixes.to_pylist(), dtype=object), types)


def _listed(path: AnyPath, options: PredictFlags, store: TripleStore) -> Int[ndarray, " line"]:
    """Read the entities of a file, one per line."""
    table = read_table(path, 1, expected="entity")
    (column,) = table.columns
    numbers = bare_integers(column)
    all_ids = are_ids(
        lambda: bool((numbers >= 0).all()),
        {"entity": store.entities},
        labels=options["labels"],
        ids=options["ids"],
        where=path,
    )
    found = numbers if all_ids else named_ids(store)[0].ids(column)
    wrong = np.flatnonzero((found < 0) | (found >= len(store.entities)))
    if len(wrong) and not options["skip_invalid"]:
        row, word = int(wrong[0]), column[int(wrong[0])].as_py()
        why = why_unknown(store, int(word) if all_ids else word, "head")
        raise TriplesError(
            f"{path}, line {table.line_index[row] + 1}: {word!r} {why}; {len(wrong):,} such "
            "line(s) in all; correct them, or pass --skip-invalid to leave them out"
        )
    return np.delete(found, wrong)
