"""What a drawing shows of one answer: the strongest training triples, and those on paths between head and tail."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tracin_dask.report.page.listed import Listed
from tracin_dask.report.result import InfluenceResult

MOST_TRIPLES = 16
"""Training triples in a drawing."""
MOST_ENDS = 4
"""Heads, and tails, of a set of test triples that still makes a drawing."""
HEADS, NEAR_HEAD, BETWEEN, NEAR_TAIL, TAILS = "heads", "near head", "between", "near tail", "tails"
AROUND_HEAD, AROUND_TAIL = "around head", "around tail"
COLUMNS = (AROUND_HEAD, HEADS, NEAR_HEAD, BETWEEN, NEAR_TAIL, TAILS, AROUND_TAIL)
"""From left to right."""
LOOSE_HEAD, LOOSE_TAIL = "loose head", "loose tail"
"""Entities of training triples that are connected with neither head nor tail: they come below the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The entities that the question names."""

    asked: Sequence[tuple[int, int, int]]
    """The test triples; those with the other tails are behind them."""
    heads: Sequence[int]
    tails: Sequence[int]
    others: Sequence[int]
    """The other tails."""


def ends_of(result: InfluenceResult, index: int) -> Ends | None:
    """Give the ends of one answer; None for self-influence, and for a set with too many of them."""
    if result.test_triples is None:
        return None
    members = [index] if result.sets is None else result.sets.members(index).tolist()
    questions = [result.question(member) for member in members]
    asked = [(triple[0], triple[1], triple[2]) for triple, _ in questions]
    others = list(dict.fromkeys(other for _, other in questions if other is not None))
    heads = list(dict.fromkeys(head for head, _, _ in asked))
    tails = [tail for tail in dict.fromkeys([*(tail for _, _, tail in asked), *others]) if tail not in heads]
    if len(heads) > MOST_ENDS or len(tails) > MOST_ENDS:
        return None
    return Ends(asked=asked, heads=heads, tails=tails, others=others)


def chosen(found: Listed, paths: Iterable[Sequence[int]]) -> list[int]:
    """Choose the places of the triples to draw: those of the best paths, then the largest |influence|.

    They are in the order of their influences, so that proponents stand above opponents.
    """
    places: dict[int, None] = {}
    for path in paths:
        new = dict.fromkeys(path) | places
        if len(new) <= MOST_TRIPLES * 3 // 4:
            places |= dict.fromkeys(path)
    largest = np.argsort(-np.abs(found.ranked.influence), kind="stable")[:MOST_TRIPLES]
    for place in largest.tolist():
        if len(places) < MOST_TRIPLES:
            places[place] = None
    return sorted(places, key=lambda place: -found.ranked.influence[place])


def columns_of(triples: Sequence[Sequence[int]], ends: Ends) -> dict[int, str]:
    """Give every entity a column, by how far it is from the heads and the tails over the drawn triples."""
    neighbours: dict[int, set[int]] = {entity: set() for entity in (*ends.heads, *ends.tails)}
    for head, _, tail in triples:
        neighbours.setdefault(head, set()).add(tail)
        neighbours.setdefault(tail, set()).add(head)
    from_head = _distances(neighbours, ends.heads, ends.tails)
    from_tail = _distances(neighbours, ends.tails, ends.heads)
    columns = dict.fromkeys(ends.heads, HEADS) | dict.fromkeys(ends.tails, TAILS)
    for head, _, tail in triples:
        for entity, loose in ((head, LOOSE_HEAD), (tail, LOOSE_TAIL)):
            if entity not in columns:
                columns[entity] = _column(from_head.get(entity), from_tail.get(entity), loose)
    return columns


def _column(from_head: int | None, from_tail: int | None, loose: str) -> str:
    if from_head is None and from_tail is None:
        return loose
    if from_tail is None:
        return AROUND_HEAD
    if from_head is None:
        return AROUND_TAIL
    if from_head == from_tail:
        return BETWEEN
    return NEAR_HEAD if from_head < from_tail else NEAR_TAIL


def _distances(neighbours: dict[int, set[int]], starts: Sequence[int], walls: Sequence[int]) -> dict[int, int]:
    """Count the hops from the starts, without a way through the walls."""
    found = dict.fromkeys(starts, 0)
    waiting = deque(starts)
    while waiting:
        entity = waiting.popleft()
        for neighbour in sorted(neighbours[entity]):
            if neighbour not in found and neighbour not in walls:
                found[neighbour] = found[entity] + 1
                waiting.append(neighbour)
    return found
