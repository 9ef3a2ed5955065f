"""What will hurt in a file of test triples: entities that no training triple has, and training triples that leak."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.places.place import AnyPath
from tracin_dask.triples.preparing.leaks import leaking
from tracin_dask.triples.preparing.whole_graph import FileReading, WholeGraph, further_triples
from tracin_dask.triples.sort import KeyLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutSurvey:
    """Test triples, counted by what is wrong with them; one may be counted several times."""

    path: str
    triples: int
    unknown: int
    """Lines with a label or id that the graph does not have."""
    untrained: int
    """Triples with an entity or a relation that is known and has no training triple."""
    in_training: int
    same_pair: int
    """Triples whose head and tail are those of a training triple under another relation."""
    inverse_pair: int
    """Triples whose head and tail are exchanged in a training triple."""
    example_untrained: str = ""
    """The label of an entity or relation without training triples."""


def survey_held_out(
    path: AnyPath, graph: WholeGraph, degrees: Int64[ndarray, " entity"], reading: FileReading
) -> HeldOutSurvey:
    """Read test triples and compare them with the triples of a graph.

    Raises
    ------
    TriplesError
        If a line is malformed.
    """
    found = further_triples(path, graph, reading, allowed=_is_unknown)
    triples, number = found.block.triples, len(graph.entities)
    layout = KeyLayout(num_entities=number, num_relations=len(graph.relations))
    near = graph.triples[leaking(graph.triples, triples, number, "any")]
    turned = triples[:, [2, 1, 0]]
    of_relation = np.bincount(graph.triples[:, 1], minlength=len(graph.relations))
    is_trained = np.column_stack([degrees[triples[:, [0, 2]]] > 0, of_relation[triples[:, 1]] > 0])
    in_training = np.isin(layout.pack(triples), layout.pack(near))
    return HeldOutSurvey(
        path=str(path),
        triples=len(triples) + sum(count for kind, count in found.invalid.counts.items() if _is_unknown(kind)),
        unknown=sum(count for kind, count in found.invalid.counts.items() if _is_unknown(kind)),
        untrained=int((~is_trained.all(axis=1)).sum()),
        in_training=int(in_training.sum()),
        same_pair=_with_pair_of(triples, near, number, is_out=in_training),
        inverse_pair=_with_pair_of(turned, near, number, is_out=triples[:, 0] == triples[:, 2]),
        example_untrained=_example(graph, triples, is_trained),
    )


def _is_unknown(kind: str) -> bool:
    """Tell whether the fault of a line is that the graph does not have what it names."""
    return kind.startswith("unknown") or kind.endswith("out of range")


def _with_pair_of(
    triples: Int64[ndarray, "test 3"], near: Int64[ndarray, "near 3"], num_entities: int, *, is_out: ndarray
) -> int:
    return int((leaking(triples, near, num_entities, "same") & ~is_out).sum())


def _example(graph: WholeGraph, triples: Int64[ndarray, "test 3"], is_trained: ndarray) -> str:
    """Name the first that has no training triple."""
    wrong = np.argwhere(~is_trained)
    if not len(wrong):
        return ""
    row, place = wrong[0]
    return graph.relations.label(triples[row, 1]) if place == 2 else graph.entities.label(triples[row, 2 * place])
