"""Where the entities of a drawing stand: in columns, ordered so that lines cross little, always at the same places."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tracin_dask.report.page.drawn import BETWEEN, COLUMNS, HEADS, LOOSE_HEAD, LOOSE_TAIL, NEAR_HEAD, NEAR_TAIL, TAILS

WIDTH, MARGIN = 1120, 14.0
LEAST_GAP, MOST_BOX = 72.0, 168.0
WIDE_GAP = 1.3
"""Between head and tail, if nothing is between them; in gaps."""
ROW, BOX_HEIGHT = 44.0, 34
ARC_ROOM, ARC_MARGIN = 62.0, 10.0
"""Above the boxes between head and tail, for the arcs of the test triples."""
LOOSE = (LOOSE_HEAD, LOOSE_TAIL)
MIDDLE = (NEAR_HEAD, BETWEEN, NEAR_TAIL)
SWEEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """The middle of an entity's box."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The places of all entities."""

    spots: Mapping[int, Spot]
    box: float
    """The width of every box."""
    height: float
    arc: float
    """How high the arcs of test triples reach; they are above all boxes between head and tail."""
    loose_from: float | None
    """Where the loose triples begin, if there are any."""


def laid_out(triples: Sequence[Sequence[int]], columns: Mapping[int, str]) -> Layout:
    """Place every entity in its column; loose triples come below."""
    x_of, box = _columns(columns)
    ordered = _ordered(triples, columns)
    loose = max(len(ordered.get(name, ())) for name in LOOSE)
    free = _free_rows(triples, columns, ordered)
    heights = {name: _rows(name, len(members), free) for name, members in ordered.items()}
    rows = max(height for name, height in heights.items() if name not in LOOSE)
    inner = max(height for name, height in heights.items() if name in COLUMNS[1:-1])
    top = MARGIN + max(0.0, ARC_ROOM - (rows - inner) * ROW / 2)
    below = top + rows * ROW
    spots = {}
    for name, members in ordered.items():
        first = below + ROW * 0.9 if name in LOOSE else top + (rows - heights[name]) * ROW / 2 + ROW / 2
        upper = (len(members) + 1) // 2
        for place, entity in enumerate(members):
            row = place + (free if name in MIDDLE and place >= upper else 0)
            spots[entity] = Spot(x=round(x_of[name], 1), y=round(first + row * ROW, 1))
    return Layout(
        spots=spots,
        box=round(box, 1),
        height=round(below + (ROW * (loose + 0.6) if loose else 0) + MARGIN, 1),
        arc=round(top + (rows - inner) * ROW / 2 - ARC_ROOM + ARC_MARGIN, 1),
        loose_from=round(below + ROW * 0.15, 1) if loose else None,
    )


def _free_rows(
    triples: Sequence[Sequence[int]], columns: Mapping[int, str], ordered: Mapping[str, Sequence[int]]
) -> int:
    """Count the rows that stay free between the boxes in the middle, for the lines from heads to tails."""
    is_direct = any({columns[head], columns[tail]} == {HEADS, TAILS} for head, _, tail in triples)
    return max(len(ordered[HEADS]), len(ordered[TAILS])) if is_direct else 0


def _rows(name: str, boxes: int, free: int) -> int:
    """Count the rows of a column; in the middle, as many are above the free rows as below them."""
    return boxes + boxes % 2 + free if free and name in MIDDLE else boxes


def _columns(columns: Mapping[int, str]) -> tuple[dict[str, float], float]:
    """Give the middle of each column that is used, and the width of the boxes."""
    used = [name for name in COLUMNS if name in columns.values()]
    box = min(MOST_BOX, (WIDTH - 2 * MARGIN - (len(used) - 1) * LEAST_GAP) / len(used))
    weights = [WIDE_GAP if pair == (HEADS, TAILS) else 1.0 for pair in pairwise(used)]
    gap = (WIDTH - 2 * MARGIN - len(used) * box) / (sum(weights) or 1.0)
    lefts = [MARGIN + place * box + gap * sum(weights[:place]) for place in range(len(used))]
    x_of = {name: left + box / 2 for name, left in zip(used, lefts, strict=True)}
    last = x_of.get(TAILS, WIDTH - MARGIN - box / 2)  # none where all test triples lead to their own heads
    return x_of | {LOOSE_HEAD: x_of[HEADS], LOOSE_TAIL: last}, box


def _ordered(triples: Sequence[Sequence[int]], columns: Mapping[int, str]) -> dict[str, list[int]]:
    """Order the entities of each column by the mean place of their neighbours, a few times over."""
    members: dict[str, list[int]] = {}
    for entity, name in columns.items():
        members.setdefault(name, []).append(entity)
    neighbours: dict[int, list[int]] = {entity: [] for entity in columns}
    for head, _, tail in triples:
        neighbours[head].append(tail)
        neighbours[tail].append(head)
    for _ in range(SWEEPS):
        place = {
            entity: (number + 0.5) / len(column) for column in members.values() for number, entity in enumerate(column)
        }
        for name, column in members.items():
            if name not in (HEADS, TAILS):
                column.sort(key=lambda entity: _mean([place[other] for other in neighbours[entity]]))
    return members


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.5
