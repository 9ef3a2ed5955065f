"""How many rows each head has, and how they divide among its relations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic_graph.entities import Entities
from synthetic_graph.shape import GraphShape, Skew
from synthetic_graph.vocabulary import Relations
from tracin_dask.errors import ConfigError

_GROUP_SPREAD = 1.0
_BISECTIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choices:
    """The relations that heads of one type can have: ids, pull, tail type, most tails of one head."""

    relations: NDArray[np.int64]
    weights: NDArray[np.float64]
    tail_types: NDArray[np.int64]
    most_tails: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Groups:
    """Pairs of a head and a relation, with the number of their tails; `choice` is a place in `Choices`."""

    head: NDArray[np.int64]
    choice: NDArray[np.int64]
    size: NDArray[np.int64]


def choices_by_type(entities: Entities, relations: Relations) -> list[Choices]:
    """Gather the relations of each head type; a head takes at most half of the tails of a type."""
    return [_choices(kind.prefix, entities, relations) for kind in entities.types]


def _choices(prefix: str, entities: Entities, relations: Relations) -> Choices:
    ids = [number for number, relation in enumerate(relations.relations) if relation.head == prefix]
    tail_types = np.array([entities.type_index(relations.relations[number].tail) for number in ids], dtype=np.int64)
    return Choices(
        relations=np.array(ids, dtype=np.int64),
        weights=np.array([relations.relations[number].weight for number in ids]),
        tail_types=tail_types,
        most_tails=entities.sizes[tail_types] // 2,
    )


def draw_degrees(
    shape: GraphShape, entities: Entities, choices: list[Choices], random: np.random.Generator
) -> NDArray[np.int32]:
    """Draw the number of rows of every entity as head, `shape.num_rows` in all; 0 for those that are no heads.

    Raises
    ------
    ConfigError
        If there are fewer rows than heads, or more than distinct triples can be made.
    """
    heads, activity, most = _choose_heads(shape, entities, choices, random)
    _check_room(shape, len(heads), int(most.sum()))
    quantiles = (np.arange(len(heads)) + 0.5) / len(heads)
    weights = random.permutation(quantiles ** (-1 / shape.skew.degree_exponent)) * activity
    degrees = np.zeros(len(entities), dtype=np.int32)
    degrees[heads] = _share_out(shape.num_rows, weights, most, random)
    return degrees


def _choose_heads(
    shape: GraphShape, entities: Entities, choices: list[Choices], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """List the heads by id, with the activity of their types and the most rows that each can have."""
    heads, activity, most = [], [], []
    for index, (kind, choice) in enumerate(zip(entities.types, choices, strict=True)):
        size = int(entities.sizes[index]) if len(choice.relations) else 0
        number = min(size, max(1, round(size * shape.skew.head_share)))
        heads.append(entities.starts[index] + np.sort(random.permutation(size)[:number]))
        activity.append(np.full(number, kind.activity))
        most.append(np.full(number, choice.most_tails.sum()))
    return np.concatenate(heads), np.concatenate(activity), np.concatenate(most)


def _check_room(shape: GraphShape, num_heads: int, most_rows: int) -> None:
    wanted = f"{shape.num_rows:,} triples (training, validation and test) "
    if shape.num_rows < num_heads:
        raise ConfigError(
            f"{wanted}are fewer than the {num_heads:,} heads that {shape.num_entities:,} entities with head share "
            f"{shape.skew.head_share} and {shape.num_relations:,} relations have; give more triples, fewer entities "
            "or a smaller head share"
        )
    if shape.num_rows > most_rows:
        raise ConfigError(
            f"{wanted}are more than the {most_rows:,} distinct ones that {num_heads:,} heads, "
            f"{shape.num_relations:,} relations and half of the tails of each relation's type give; "
            "give fewer triples, or more entities or relations"
        )


def _share_out(
    total: int, weights: NDArray[np.float64], most: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Share `total` out in proportion to the weights, at least one and at most `most` each."""

    def shares(scale: float) -> NDArray[np.int64]:
        return np.minimum(most, 1 + np.floor(scale * weights)).astype(np.int64)

    least, largest = 0.0, float(total) / float(weights.min())
    for _ in range(_BISECTIONS):
        middle = (least + largest) / 2
        least, largest = (middle, largest) if shares(middle).sum() <= total else (least, middle)
    found = shares(least)
    while missing := total - int(found.sum()):
        with_room = random.permutation(np.flatnonzero(found < most))[:missing]
        found[with_room] += 1
    return found


def draw_groups(degrees: NDArray[np.int64], choices: Choices, skew: Skew, random: np.random.Generator) -> Groups:
    """Divide the rows of heads of one type among a few relations each, preferred ones and sizes by chance.

    `degrees` has one number > 0 per head; `Groups.head` counts along it.
    """
    num_choices = len(choices.relations)
    preference = np.log(choices.weights) + random.gumbel(size=(len(degrees), num_choices))
    order = np.argsort(-preference, axis=1)
    number = np.minimum(np.floor(degrees**skew.relation_exponent + random.random(len(degrees))), num_choices)
    number = np.clip(number.astype(np.int64), 1, degrees)
    chosen = np.arange(num_choices) < number[:, None]
    share = chosen * choices.weights[order] * np.exp(_GROUP_SPREAD * random.standard_normal(chosen.shape))
    share /= share.sum(axis=1, keepdims=True)
    most = choices.most_tails[order]
    size = np.minimum(most, chosen * (1 + ((degrees - number)[:, None] * share).astype(np.int64)))
    size += _fill(degrees - size.sum(axis=1), most - size)
    head, place = np.nonzero(size)
    return Groups(head=head, choice=order[head, place], size=size[head, place])


def _fill(missing: NDArray[np.int64], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put what is missing in each row into the first places with room."""
    before = np.cumsum(room, axis=1) - room
    return np.clip(missing[:, None] - before, 0, room)
