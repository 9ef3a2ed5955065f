"""What will hurt in a graph, in words, and what to do about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tracin_dask.triples.preparing.relation_table import Other, RelationRow
from tracin_dask.triples.preparing.survey import Survey

NEARLY = 0.8
"""Relations that share so large a part of their triples are called nearly the same, or nearly inverse."""
HUB = 0.1
"""An entity with so large a part of all triples is worth a warning."""
LISTED = 5
"""Relations of a kind that a warning names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What will hurt, and what to do."""

    what: str
    remedy: str


def findings_in(survey: Survey) -> list[Finding]:
    """Say what will hurt."""
    return [finding for find in _FINDS for finding in find(survey)]


def _duplicates(survey: Survey) -> Iterator[Finding]:
    if survey.duplicates:
        yield Finding(
            what=f"{survey.duplicates:,} lines repeat an earlier triple: each counts as a training triple of its own, "
            "and a copy of a test triple may stand in training",
            remedy="`tracin-dask split` leaves repeated lines out",
        )


def _near_inverse(survey: Survey) -> Iterator[Finding]:
    near = [row for row in survey.relations if _is_near(row.inverse)]
    if near:
        yield Finding(
            what=f"{_relations(len(near))} nearly inverse to another one: {_pairs(survey, near, _inverse)}. A triple "
            "that is held out of one stands backwards in training under the other, and is no test",
            remedy="`tracin-dask split --remove-pairs any` (the default) takes such training triples out; or drop one "
            "of each two relations",
        )


def _near_repeated(survey: Survey) -> Iterator[Finding]:
    near = [row for row in survey.relations if _is_near(row.repeated)]
    if near:
        yield Finding(
            what=f"{_relations(len(near))} nearly contained in another one: {_pairs(survey, near, _repeated)}. A "
            "triple that is held out of one stands in training under the other",
            remedy="`tracin-dask split --remove-pairs any` (the default) takes such training triples out",
        )


def _symmetric(survey: Survey) -> Iterator[Finding]:
    near = [row for row in survey.relations if row.symmetric >= NEARLY]
    if near:
        named = [f"{survey.relation(row.relation)} ({row.symmetric:.0%})" for row in near]
        yield Finding(
            what=f"{_relations(len(near))} nearly symmetric: {_listed(named)}. A triple that is held out stands "
            "backwards in training",
            remedy="`tracin-dask split --remove-pairs any` (the default) takes such training triples out, or hold "
            "both directions out together with `--by pair`",
        )


def _components(survey: Survey) -> Iterator[Finding]:
    sizes = survey.components.entities
    if len(sizes) > 1:
        yield Finding(
            what=f"the graph has {len(sizes):,} components: {int(sizes[1:].sum()):,} entities are not connected with "
            f"the largest one, e.g. {survey.entity(survey.components.examples[1])}; no path leads there",
            remedy="check that labels of the same thing are spelled alike in all sources",
        )


def _hubs(survey: Survey) -> Iterator[Finding]:
    number = survey.lines - survey.duplicates
    shares = survey.degrees.of_entity[survey.degrees.hubs] / number
    hubs = [f"{survey.entity(one)} ({share:.0%})" for one, share in zip(survey.degrees.hubs, shares, strict=True)]
    hubs = hubs[: int((shares > HUB).sum())]
    if hubs and number > 1 / HUB**2:
        yield Finding(
            what=f"{'an entity is' if len(hubs) == 1 else f'{len(hubs)} entities are'} in more than {HUB:.0%} of all "
            f"triples: {_listed(hubs)}. Most counts per entity are counts of these",
            remedy="compare influences with `run --normalize relatif`, and add them up with `--group-by head`",
        )


def _single(survey: Survey) -> Iterator[Finding]:
    number, used = int((survey.degrees.of_entity == 1).sum()), int(np.count_nonzero(survey.degrees.of_entity))
    if number:
        yield Finding(
            what=f"{number:,} of {used:,} entities have a single triple: a model knows each by one triple, "
            "and it cannot be held out",
            remedy="`tracin-dask split` keeps such triples in training; do not expect good predictions for them",
        )


def _unused(survey: Survey) -> Iterator[Finding]:
    unused = survey.degrees.unused
    if len(unused):
        which = "entities of the id map" if survey.graph.has_maps else "ids below the largest one"
        yield Finding(
            what=f"{len(unused):,} {which} have no triple, e.g. {survey.entity(unused[0])}: their "
            "embeddings are never trained, and still count as candidates in ranks",
            remedy="leave them out of the id map before training, or check that no file is missing",
        )
    if survey.unused_relations:
        named = [survey.relation(number) for number in survey.unused_relations]
        yield Finding(
            what=f"relations of the id map without triples: {_listed(named)}",
            remedy="leave them out of the id map before training, or check that no file is missing",
        )


def _similar(survey: Survey) -> Iterator[Finding]:
    for kind, alike in survey.similar.items():
        examples = ", ".join(f"{first!a} and {second!a}" for first, second in alike.examples)
        yield Finding(
            what=f"{alike.number:,} labels of {kind} differ from another one only by case, blanks, invisible "
            f"characters or Unicode form: {examples}. A model takes them for different things",
            remedy="write them alike before training",
        )


def _skipped(survey: Survey) -> Iterator[Finding]:
    skipped = survey.graph.skipped
    if skipped:
        kinds = ", ".join(f"{number:,} × {kind}" for kind, number in sorted(skipped.items()))
        yield Finding(what=f"lines that cannot be used were left out: {kinds}", remedy="correct the file")


def _held_out(survey: Survey) -> Iterator[Finding]:
    found = survey.held_out
    if found is None:
        return
    of_all = f"of {found.triples:,} test triples in {found.path}"
    if found.unknown:
        yield Finding(
            what=f"{found.unknown:,} {of_all} have an entity or a relation that the graph does not have: no model of "
            "this graph can score them",
            remedy="leave them out with --skip-invalid, or check that both files spell labels alike",
        )
    if found.untrained:
        yield Finding(
            what=f"{found.untrained:,} {of_all} have an entity or a relation without any training triple, e.g. "
            f"{found.example_untrained}: no training triple taught the model about it",
            remedy="leave them out, or split again with `tracin-dask split`, which keeps a training triple of each",
        )
    if found.in_training:
        yield Finding(
            what=f"{found.in_training:,} {of_all} are triples of the graph: in training, they test nothing",
            remedy="`tracin-dask split TRIPLES --keep-test FILE` takes them out of training",
        )
    if found.same_pair or found.inverse_pair:
        yield Finding(
            what=f"{found.same_pair:,} {of_all} have their two entities in a triple of another relation, and "
            f"{found.inverse_pair:,} in a triple in the other direction: these may give the test triple away",
            remedy="put both files together and give `tracin-dask split` the test triples with --keep-test: it takes "
            "such training triples out",
        )


_FINDS: tuple[Callable[[Survey], Iterator[Finding]], ...] = (
    *(_skipped, _duplicates, _near_inverse, _near_repeated, _symmetric, _similar),
    *(_unused, _components, _hubs, _single, _held_out),
)


def _is_near(other: Other | None) -> bool:
    return other is not None and other.share >= NEARLY


def _inverse(row: RelationRow) -> Other | None:
    return row.inverse


def _repeated(row: RelationRow) -> Other | None:
    return row.repeated


def _pairs(survey: Survey, rows: list[RelationRow], of: Callable[[RelationRow], Other | None]) -> str:
    """Name relations with the other one and the part of their triples that it has."""
    others = [(row, of(row)) for row in rows]
    return _listed(
        [
            f"{survey.relation(row.relation)} to {survey.relation(other.relation)} ({other.share:.0%})"
            for row, other in others
            if other is not None
        ]
    )


def _relations(number: int) -> str:
    return "1 relation is" if number == 1 else f"{number:,} relations are"


def _listed(named: list[str]) -> str:
    more = f" and {len(named) - LISTED:,} more" if len(named) > LISTED else ""
    return f"{', '.join(named[:LISTED])}{more}"
