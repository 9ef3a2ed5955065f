"""Paths and metapaths as text: `aspirin -[binds]-> PTGS2 <-[causes]- pain`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.paths.search import ScoredPath
from tracin_dask.report.result import RankedTriples
from tracin_dask.visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The names of the entities and relations of a result, or else their labels; safe to print."""

    entities: Mapping[int, str]
    relations: Mapping[int, str]

    @classmethod
    def of(cls, labels: Labels) -> "Words":
        """Look all of them up, once for many paths."""
        return cls(entities=_called(labels.entities), relations=_called(labels.relations))

    def path(self, path: ScoredPath, ranked: RankedTriples) -> str:
        """Write a path."""
        relations = ranked.triples[list(path.entries), 1].tolist()
        nodes = [self.entities[node] for node in path.nodes]
        return chain(nodes, [self.relations[number] for number in relations], path.backwards)


def chain(nodes: Sequence[str], relations: Sequence[str], backwards: Sequence[bool]) -> str:
    """Write entities, or their types, with the relations between them; an arrow leads from head to tail."""
    first, *others = nodes
    steps = (
        f" <-[{relation}]- {node}" if is_backwards else f" -[{relation}]-> {node}"
        for node, relation, is_backwards in zip(others, relations, backwards, strict=True)
    )
    return first + "".join(steps)


def _called(texts: Texts) -> dict[int, str]:
    known = zip(texts.ids.tolist(), texts.labels.to_pylist(), texts.names.to_pylist(), strict=True)
    return {number: visible(name or label) for number, label, name in known}
