"""What is in a graph: counts, degrees, components, relations, types, and what will hurt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from tracin_dask.triples.preparing.degrees import Components, Degrees, components_of, degrees_of
from tracin_dask.triples.preparing.held_out_survey import HeldOutSurvey
from tracin_dask.triples.preparing.kinds import LookAlikes, TypeRow, look_alikes, type_rows
from tracin_dask.triples.preparing.pairs import distinct_triples
from tracin_dask.triples.preparing.relation_table import Other, RelationRow, relation_rows
from tracin_dask.triples.preparing.whole_graph import WholeGraph
from tracin_dask.triples.sort import KeyLayout

EXAMPLES = 5
"""Unused entities that are named."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What is in a graph; relations and degrees count distinct triples."""

    graph: WholeGraph
    lines: int
    duplicates: int
    self_loops: int
    degrees: Degrees
    components: Components
    relations: list[RelationRow]
    types: list[TypeRow]
    similar: Mapping[str, LookAlikes]
    """Labels of entities and relations that look alike."""
    held_out: HeldOutSurvey | None = None
    """What was found of test triples, where there are any."""

    @property
    def unused_relations(self) -> list[int]:
        """The relations that no triple has."""
        return sorted(set(range(len(self.graph.relations))) - {row.relation for row in self.relations})

    def entity(self, number: SupportsIndex) -> str:
        """Call an entity by its label and its readable name."""
        names = self.graph.texts.entity_names
        name = "" if names is None else names[int(number)].as_py()
        label = self.graph.entities.label(number)
        return f"{name} ({label})" if name else label

    def relation(self, number: int) -> str:
        """Call a relation by its readable name, or else by its label."""
        names = self.graph.texts.relation_names
        return (names[number].as_py() if names is not None else "") or self.graph.relations.label(number)


def survey_graph(graph: WholeGraph) -> Survey:
    """Look at a graph from all sides; memory is bounded by a few numbers per triple."""
    layout = KeyLayout(num_entities=len(graph.entities), num_relations=len(graph.relations))
    triples = distinct_triples(graph.triples, layout)
    degrees = degrees_of(triples, len(graph.entities))
    found = {"entities": look_alikes(graph.entities), "relations": look_alikes(graph.relations)}
    return Survey(
        graph=graph,
        lines=len(graph),
        duplicates=len(graph) - len(triples),
        self_loops=int((triples[:, 0] == triples[:, 2]).sum()),
        degrees=degrees,
        components=components_of(triples, degrees),
        relations=relation_rows(triples, len(graph.entities), len(graph.relations)),
        types=type_rows(triples, graph.entities),
        similar={kind: alike for kind, alike in found.items() if alike is not None},
    )


def to_json(survey: Survey) -> dict[str, Any]:
    """Describe a survey; lists are whole, except for hubs, components and unused entities."""
    graph, degrees = survey.graph, survey.degrees
    return {
        "source": {"name": graph.source.name, "sha256": graph.source.sha256, "size_bytes": graph.source.size_bytes},
        "counts": counts(survey),
        "skipped_lines": dict(graph.skipped),
        "degrees": {
            "min": degrees.least,
            "median": degrees.median,
            "mean": degrees.mean,
            "percentile_90": degrees.percentile_90,
            "percentile_99": degrees.percentile_99,
            "max": degrees.most,
            "hubs": [{**_entity(survey, number), "triples": int(degrees.of_entity[number])} for number in degrees.hubs],
        },
        "components": {
            "number": len(survey.components.entities),
            "largest": [
                {"entities": int(size), "example": graph.entities.label(one)}
                for size, one in zip(survey.components.entities[:10], survey.components.examples[:10], strict=True)
            ],
        },
        "relations": [_relation_row(survey, row) for row in survey.relations],
        "types": [
            {
                "prefix": row.prefix,
                "entities": row.entities,
                "triples_as_head": row.triples_as_head,
                "triples_as_tail": row.triples_as_tail,
            }
            for row in survey.types
        ],
        "entities_without_triples": [graph.entities.label(number) for number in degrees.unused[:EXAMPLES]],
        "relations_without_triples": [graph.relations.label(number) for number in survey.unused_relations],
        "similar_labels": {
            kind: {"number": one.number, "examples": [list(pair) for pair in one.examples]}
            for kind, one in survey.similar.items()
        },
    }


def counts(survey: Survey) -> dict[str, int]:
    """Count what is in the graph, by what is counted."""
    number = int(np.count_nonzero(survey.degrees.of_entity))
    return {
        "lines": survey.lines,
        "distinct triples": survey.lines - survey.duplicates,
        "duplicates": survey.duplicates,
        "self-loops": survey.self_loops,
        "entities": number,
        "relations": len(survey.relations),
        "entities without triples": len(survey.graph.entities) - number,
        "relations without triples": len(survey.unused_relations),
        "components": len(survey.components.entities),
    }


def _entity(survey: Survey, number: SupportsIndex) -> dict[str, str]:
    names = survey.graph.texts.entity_names
    name = "" if names is None else names[int(number)].as_py()
    return {"entity": survey.graph.entities.label(number)} | ({"name": name} if name else {})


def _relation_row(survey: Survey, row: RelationRow) -> dict[str, Any]:
    label = survey.graph.relations.label(row.relation)
    name = survey.relation(row.relation)
    return {
        "relation": label,
        **({"name": name} if name != label else {}),
        "triples": row.triples,
        "heads": row.heads,
        "tails": row.tails,
        "symmetric_share": row.symmetric,
        "inverse": _other(survey, row.inverse),
        "same_direction": _other(survey, row.repeated),
    }


def _other(survey: Survey, other: Other | None) -> dict[str, Any] | None:
    if other is None:
        return None
    label = survey.graph.relations.label(other.relation)
    return {"relation": label, "share": other.share, "share_of_other": other.share_of_other}
