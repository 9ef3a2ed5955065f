"""The labels of a model's rows, as PyKEEN writes them into its checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass

from tracin_dask.errors import CheckpointError

_NAMES = {"entity": ("entity_to_id_dict", "entity_to_id"), "relation": ("relation_to_id_dict", "relation_to_id")}
INVERSE_SUFFIX = "_inverse"
"""What PyKEEN adds to the label of a relation for its inverse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of the rows of a model's embedding tables, in the order of the rows."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    has_made_inverses: bool = False
    """Whether every second relation is an inverse, whose label the file does not state."""


def stated_labels(contents: Mapping[object, object], *, num_entities: int, num_relations: int) -> Labels | None:
    """Find the labels in the id maps that a file states; None if it has not both.

    With inverse triples, PyKEEN's tables have a row for every relation and the next one for its inverse.

    Raises
    ------
    CheckpointError
        If they are damaged, or do not fit the model's tables.
    """
    stated = {kind: _stated(contents, names) for kind, names in _NAMES.items()}
    if None in stated.values():
        return None
    entities, relations = (_labels(kind, found) for kind, found in stated.items())
    has_inverses = num_relations == 2 * len(relations)
    if has_inverses:
        relations = [label + suffix for label in relations for suffix in ("", INVERSE_SUFFIX)]
    for kind, labels, rows in (("entities", entities, num_entities), ("relations", relations, num_relations)):
        if len(labels) != rows:
            raise CheckpointError(f"its id map names {len(labels):,} {kind}, and its table has {rows:,} rows")
    return Labels(entities=tuple(entities), relations=tuple(relations), has_made_inverses=has_inverses)


def _stated(contents: Mapping[object, object], names: tuple[str, ...]) -> object:
    return next((contents[name] for name in names if contents.get(name) is not None), None)


def _labels(kind: str, found: object) -> list[str]:
    """Give the labels in the order of their ids."""
    if not isinstance(found, Mapping) or any(type(number) is not int for number in found.values()):
        raise CheckpointError(f"its {kind} id map is not a dictionary of labels and ids; copy it again")
    labels = {number: str(label) for label, number in found.items()}
    if len(labels) != len(found) or len(set(labels.values())) != len(labels):
        raise CheckpointError(f"its {kind} id map has a label or an id twice; copy it again")
    if labels and (min(labels), max(labels)) != (0, len(labels) - 1):
        raise CheckpointError(f"its {kind} id map has not every id from 0 to {len(labels) - 1:,}; copy it again")
    return [labels[number] for number in range(len(labels))]
