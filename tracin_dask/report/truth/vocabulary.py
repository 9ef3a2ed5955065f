"""What a graph, or a result, calls its entities and relations: from the labels of known explanations to ids."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.truth.relations import Relations

UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Finds ids by label; limits are numbers that all ids are below."""

    find_entities: Callable[[list[str]], Int[ndarray, " label"]]
    """Gives -1 for an unknown label."""
    relations: Relations
    relation_ids: frozenset[int]
    num_entities: int
    num_relations: int
    has_integer_labels: bool
    """Whether a label is a whole number: such a number in a file is a label then, and no id."""
    what: str
    """Whose labels these are, for messages."""

    def entities(self, labels: Iterable[str]) -> dict[str, int]:
        """Find the ids of labels, those that are known."""
        distinct = list(dict.fromkeys(labels))
        ids = self.find_entities(distinct).tolist() if distinct else []
        return {label: number for label, number in zip(distinct, ids, strict=True) if number != UNKNOWN}


def vocabulary_of(labels: Labels) -> Vocabulary:
    """Take the labels of a result: those of its test triples and of its listed training triples."""
    entities, relations = labels.entities, labels.relations
    by_label = dict(zip(entities.labels.to_pylist(), entities.ids.tolist(), strict=True))
    relation_labels = relations.labels.to_pylist()
    return Vocabulary(
        find_entities=lambda asked: np.array([by_label.get(label, UNKNOWN) for label in asked], np.int64),
        relations=Relations.of(relations.ids, relation_labels, relations.names.to_pylist()),
        relation_ids=frozenset(relations.ids.tolist()),
        num_entities=_limit(entities),
        num_relations=_limit(relations),
        has_integer_labels=any(label.isdecimal() for label in [*by_label, *relation_labels]),
        what="a test triple or a listed training triple",
    )


def _limit(texts: Texts) -> int:
    return int(texts.ids[-1]) + 1 if len(texts.ids) else 0
