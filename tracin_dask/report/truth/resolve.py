"""From known explanations as files state them to ids, and what of them nothing in the graph matches."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import TruthError
from tracin_dask.report.truth.known import KnownIds, PathIds, TripleIds
from tracin_dask.report.truth.unmatched import Unmatched
from tracin_dask.report.truth.values import KnownEdges, KnownPath, OwnTruth, Triple, Truth
from tracin_dask.report.truth.vocabulary import UNKNOWN, Vocabulary

_NO_TRIPLES: Int[ndarray, "0 3"] = np.empty((0, 3), np.int64)


def resolve(truth: Truth, vocabulary: Vocabulary) -> KnownIds:
    """Find the ids of all that is known.

    Raises
    ------
    TruthError
        If a relation of `own` reads like several.
    """
    edges = truth.edges.triples if truth.edges else ()
    paths = truth.paths.paths if truth.paths else ()
    own = truth.own or OwnTruth()
    entities = vocabulary.entities(_labels(edges, paths, own))
    unmatched = Unmatched(what=vocabulary.what)
    of_test, everywhere = _own(own, entities, vocabulary, unmatched)
    return KnownIds(
        columns=truth.columns,
        edges=_edge_ids(edges, entities, vocabulary, strict=False, unmatched=unmatched),
        strict_edges=_edge_ids(edges, entities, vocabulary, strict=True),
        paths=_paths(paths, truth.edges, entities, vocabulary, unmatched),
        of_test=of_test,
        everywhere=everywhere,
        limits=(vocabulary.num_entities, vocabulary.num_relations),
        unmatched=unmatched,
    )


def _labels(edges: Sequence[Triple], paths: Sequence[KnownPath], own: OwnTruth) -> Iterable[str]:
    """Give the labels of all entities."""
    for head, _, tail in (
        *edges,
        *own.everywhere,
        *own.of_test,
        *(one for known in own.of_test.values() for one in known),
    ):
        yield from (head, tail)
    for path in paths:
        yield from path.nodes


def _edge_ids(
    edges: Sequence[Triple],
    entities: Mapping[str, int],
    vocabulary: Vocabulary,
    *,
    strict: bool,
    unmatched: Unmatched | None = None,
) -> Int[ndarray, "edge 3"]:
    """Find the triples that edges could be, one for each relation that a predicate names."""
    found: list[tuple[int, int, int]] = []
    for head, predicate, tail in edges:
        ids = vocabulary.relations.ids(predicate, strict=strict)
        if unmatched is not None:
            unmatched.labels("subjects and objects of edges", (head, tail), entities)
            unmatched.labels("predicates of edges", (predicate,), vocabulary.relations.base)
            is_known = bool(ids) and {head, tail} <= entities.keys()
            unmatched.triple("edges", (head, predicate, tail), is_known=is_known)
        if head in entities and tail in entities:
            found += [(entities[head], number, entities[tail]) for number in ids]
    return np.unique(np.array(found, np.int64), axis=0) if found else _NO_TRIPLES


def _paths(
    paths: Sequence[KnownPath],
    edges: KnownEdges | None,
    entities: Mapping[str, int],
    vocabulary: Vocabulary,
    unmatched: Unmatched,
) -> dict[tuple[int, int], tuple[PathIds, ...]]:
    """Find the ids of paths, by the pair of drug and disease; all of a pair are kept."""
    stated = {} if edges is None else edges.predicates()
    found: dict[tuple[int, int], tuple[PathIds, ...]] = {}
    for path in paths:
        ends = (entities.get(path.drug), entities.get(path.disease))
        unmatched.labels("drugs and diseases of paths", (path.drug, path.disease), entities)
        unmatched.labels("intermediates of paths", path.intermediates, entities)
        if ends[0] is not None and ends[1] is not None:
            pair = (ends[0], ends[1])
            found[pair] = (*found.get(pair, ()), _path_ids(path, stated, entities, vocabulary))
    return found


def _path_ids(
    path: KnownPath,
    stated: Mapping[tuple[str, str], Sequence[str]],
    entities: Mapping[str, int],
    vocabulary: Vocabulary,
) -> PathIds:
    """Find the ids of a path: its entities, its steps, and the relations that may make each step."""
    steps: list[tuple[int, int]] = []
    allowed: list[frozenset[int] | None] = []
    for place, (start, end) in enumerate(zip(path.nodes, path.nodes[1:], strict=False)):
        if start in entities and end in entities:
            steps.append((entities[start], entities[end]))
            predicates = stated.get((start, end)) if path.predicates is None else (path.predicates[place],)
            allowed.append(None if predicates is None else _relations(predicates, vocabulary))
    nodes = np.unique([entities[node] for node in path.nodes if node in entities])
    return PathIds(nodes=nodes, steps=tuple(steps), relations=tuple(allowed))


def _relations(predicates: Iterable[str], vocabulary: Vocabulary) -> frozenset[int]:
    return frozenset(number for name in predicates for number in vocabulary.relations.ids(name, strict=True))


def _own(
    own: OwnTruth, entities: Mapping[str, int], vocabulary: Vocabulary, unmatched: Unmatched
) -> tuple[dict[TripleIds, Int[ndarray, "_ 3"]], Int[ndarray, "_ 3"]]:
    """Find the ids of the user's triples, which are labels, or ids where all parts are whole numbers."""
    as_ids = not vocabulary.has_integer_labels and _are_integers(own)

    def found(kind: str, triples: Sequence[Triple]) -> list[TripleIds]:
        ids = _triples(triples, entities, vocabulary, as_ids=as_ids)
        for triple, numbers in zip(triples, ids, strict=True):
            unmatched.triple(kind, triple, is_known=min(numbers) >= 0)
        return ids

    tests = found("test triples of --truth", list(own.of_test)) if own.of_test else []
    of_test = {
        test: _known_only(found("training triples of --truth", known))
        for test, known in zip(tests, own.of_test.values(), strict=True)
    }
    return of_test, _known_only(found("training triples of --truth", own.everywhere))


def _known_only(triples: Sequence[TripleIds]) -> Int[ndarray, "_ 3"]:
    found: Int[ndarray, "_ 3"] = np.array(triples, np.int64).reshape(-1, 3)
    return found[(found >= 0).all(axis=1)]


def _are_integers(own: OwnTruth) -> bool:
    triples = [*own.everywhere, *own.of_test, *(one for known in own.of_test.values() for one in known)]
    return all(part.isdecimal() and len(part) < 19 for triple in triples for part in triple)


def _triples(
    triples: Sequence[Triple], entities: Mapping[str, int], vocabulary: Vocabulary, *, as_ids: bool
) -> list[TripleIds]:
    """Find the ids of triples; unknown parts are `UNKNOWN`."""
    if as_ids:
        limits = (vocabulary.num_entities, vocabulary.num_relations, vocabulary.num_entities)
        numbers = np.array([[int(part) for part in triple] for triple in triples], np.int64).reshape(-1, 3)
        return [(h, r, t) for h, r, t in np.where(numbers < limits, numbers, UNKNOWN).tolist()]
    found = []
    for head, relation, tail in triples:
        ids = vocabulary.relations.ids(relation, strict=True)
        if len(ids) > 1:
            raise TruthError(
                f"the relation {relation!r} of {head} {relation} {tail} reads like {len(ids)} relations; name it by "
                "its label"
            )
        found.append((entities.get(head, UNKNOWN), ids[0] if ids else UNKNOWN, entities.get(tail, UNKNOWN)))
    return found
