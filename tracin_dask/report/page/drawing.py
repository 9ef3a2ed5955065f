"""The drawing of one answer as SVG: boxes for entities, arrows for training triples."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

from tracin_dask.report.page.drawn import Ends, chosen, columns_of, ends_of
from tracin_dask.report.page.layout import BOX_HEIGHT, WIDTH, Layout, Spot, laid_out
from tracin_dask.report.page.listed import SIDES, Listed
from tracin_dask.report.page.names import Named, NamedTriple, named_triple
from tracin_dask.report.page.numbers import Scale
from tracin_dask.report.result import InfluenceResult

LETTER = 7.3
"""The width of a letter in a box, rather too much."""
LINES = 2
THINNEST, THICKEST = 1.25, 5.0
MARK_SHIFT = 0.22
MARK_MOVES = (0.0, 0.08, -0.08, 0.16, -0.16, 0.24, -0.24, 0.32, -0.32)
"""Where else on its line a mark may stand, if another one is there."""
LEAST_AT = 0.18
"""How far a mark keeps from the ends of its line."""
MARK_WIDTH, MARK_HEIGHT = 28, 17
LOOP = 44
"""How far a line between boxes of one column reaches out of it."""
APART = 9
"""Between lines of the same two entities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """An entity."""

    x: float
    y: float
    kind: str
    """`head`, `tail`, `other` for the other tail, or empty."""
    lines: Sequence[str]
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A training triple, or a test triple."""

    path: str
    width: float
    sign: str
    """`p`, `o`, or `t` for a test triple."""
    title: str
    mark: str
    """The place in the table: P1, O2; of a test triple, its relation. It stands at x, y."""
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A drawing that is ready to be written as SVG."""

    width: int
    height: float
    box: float
    box_height: int
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    asked: Sequence[Arrow]
    loose_from: float | None
    about: str


def drawing_of(
    result: InfluenceResult, index: int, found: Listed, paths: Iterable[Sequence[int]] = ()
) -> Drawing | None:
    """Draw the strongest training triples and those of paths, given as places in the list; None if there is nothing."""
    ends = ends_of(result, index)
    if ends is None or not len(found):
        return None
    places = chosen(found, paths)
    triples = [found.ranked.triples[place].tolist() for place in places]
    layout = laid_out(triples, columns_of(triples, ends))
    names = _names(result, ends, [found.names[place] for place in places])
    arrows = _arrows(found, places, layout)
    return Drawing(
        width=WIDTH,
        height=layout.height,
        box=layout.box,
        box_height=BOX_HEIGHT,
        boxes=[_box(names[entity], spot, _kind(entity, ends), layout.box) for entity, spot in layout.spots.items()],
        arrows=arrows,
        asked=_asked(result, ends, layout),
        loose_from=layout.loose_from,
        about="; ".join(arrow.title for arrow in arrows),
    )


def _names(result: InfluenceResult, ends: Ends, drawn: Sequence[NamedTriple]) -> dict[int, Named]:
    asked = [named_triple(result.labels, *triple) for triple in ends.asked]
    others = [named_triple(result.labels, *ends.asked[0][:2], other) for other in ends.others]
    return {part.id: part for triple in (*drawn, *asked, *others) for part in (triple.head, triple.tail)}


def _kind(entity: int, ends: Ends) -> str:
    if entity in ends.heads:
        return "head"
    is_tail = any(entity == tail for _, _, tail in ends.asked)
    return "tail" if is_tail else "other" if entity in ends.others else ""


def _box(named: Named, spot: Spot, kind: str, width: float) -> Box:
    title = f"{named.name} ({named.label})" if named.label else named.name
    return Box(x=spot.x, y=spot.y, kind=kind, lines=fitted(named.name, width), title=title)


def fitted(text: str, width: float) -> list[str]:
    """Break a text into at most two lines that fit a box, with an ellipsis where it is longer."""
    letters = max(4, int((width - 12) / LETTER))
    if any(east_asian_width(letter) in "WF" for letter in text):
        letters = max(2, letters // 2)
    lines = textwrap.wrap(text, letters) if " " in text else _cut(text, letters)
    if len(lines) > LINES:
        last = lines[LINES - 1]
        lines = [*lines[: LINES - 1], last[: letters - 1] + "…"]
    return lines or [""]


def _cut(text: str, letters: int) -> list[str]:
    """Cut a text without spaces, after an underscore or a colon where one is near."""
    if len(text) <= letters:
        return [text]
    at = max(text.rfind(mark, letters // 2, letters) for mark in "_:-/.") + 1
    at = at if at > 0 else letters
    return [text[:at], *_cut(text[at:], letters)]


def _arrows(found: Listed, places: Sequence[int], layout: Layout) -> list[Arrow]:
    marks = {place: f"{side[0].upper()}{number}" for side in SIDES for number, place in enumerate(found.side(side), 1)}
    scale = Scale.of(found.ranked.influence.tolist())
    largest = max(abs(float(found.ranked.influence[place])) for place in places) or 1.0
    lanes: dict[frozenset[int], int] = {}
    uses = Counter(entity for place in places for entity in found.ranked.triples[place, [0, 2]].tolist())
    arrows: list[Arrow] = []
    for place in places:
        head, _, tail = found.ranked.triples[place].tolist()
        value, name = float(found.ranked.influence[place]), found.names[place]
        lane = lanes[frozenset((head, tail))] = lanes.get(frozenset((head, tail)), -1) + 1
        at = 0.5 + MARK_SHIFT * ((uses[tail] < uses[head]) - (uses[head] < uses[tail]))  # apart, far from hubs
        lines = [
            _line(layout.spots[head], layout.spots[tail], layout.box, lane, min(max(at + move, LEAST_AT), 1 - LEAST_AT))
            for move in MARK_MOVES
        ]
        off = [line for line in lines if _is_off_boxes(line[1], layout)] or lines
        path, (x, y) = next((line for line in off if _is_free(line[1], arrows)), off[0])
        mark = marks.get(place, "")
        unit = f" {scale.unit}" if scale.unit else ""
        arrows.append(
            Arrow(
                path=path,
                width=round(THINNEST + (THICKEST - THINNEST) * abs(value) / largest, 2),
                sign="o" if value < 0 else "p",
                title=f"{mark}: {name}: {scale.signed(value)}{unit}".lstrip(": "),
                mark=mark,
                x=x,
                y=y,
            )
        )
    return sorted(arrows, key=lambda arrow: arrow.width)


def _is_free(spot: tuple[float, float], others: Sequence[Arrow]) -> bool:
    return all(abs(spot[0] - one.x) >= MARK_WIDTH or abs(spot[1] - one.y) >= MARK_HEIGHT for one in others)


def _is_off_boxes(spot: tuple[float, float], layout: Layout) -> bool:
    width, height = (layout.box + MARK_WIDTH) / 2, (BOX_HEIGHT + MARK_HEIGHT) / 2
    return all(abs(spot[0] - box.x) >= width or abs(spot[1] - box.y) >= height for box in layout.spots.values())


def _line(start: Spot, end: Spot, box: float, lane: int, at: float) -> tuple[str, tuple[float, float]]:
    """Draw a curve between two boxes, and find a point of it; further lines of the same boxes have other lanes."""
    shift = (lane + 1) // 2 * APART * (1 if lane % 2 else -1)
    if start.x == end.x:
        way = 1 if start.x < WIDTH / 2 else -1  # to the middle of the frame
        near, far = start.x + way * box / 2, start.x + way * (box / 2 + LOOP + abs(shift) * 2)
        apart = 8 if start == end else 0
        from_y, to_y = start.y - apart, end.y + apart
        return _curve((near, from_y), (far, from_y - 2 * apart), (far, to_y + 2 * apart), (near + way * 2, to_y), at=at)
    way = 1 if end.x > start.x else -1
    from_x, to_x = start.x + way * box / 2, end.x - way * (box / 2 + 2)
    bend = (to_x - from_x) * 0.45
    y, target = start.y + shift, end.y + shift
    return _curve((from_x, y), (from_x + bend, y + shift), (to_x - bend, target + shift), (to_x, target), at=at)


def _curve(*points: tuple[float, float], at: float) -> tuple[str, tuple[float, float]]:
    """Write a cubic curve as a path, and give the point at a part of its way."""
    first, *others = [f"{x:.1f} {y:.1f}" for x, y in points]
    weights = ((1 - at) ** 3, 3 * at * (1 - at) ** 2, 3 * at**2 * (1 - at), at**3)
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, points, strict=True)) for axis in (0, 1))
    return f"M{first}C{' '.join(others)}", (round(x, 1), round(y, 1))


def _asked(result: InfluenceResult, ends: Ends, layout: Layout) -> list[Arrow]:
    """Draw the test triples as arcs above all boxes between head and tail."""
    arcs = []
    for triple in ends.asked:
        start, end = layout.spots[triple[0]], layout.spots[triple[2]]
        if start == end:
            continue
        tops = start.y - BOX_HEIGHT / 2, end.y - BOX_HEIGHT / 2
        control = (layout.arc - 0.125 * sum(tops)) / 0.75
        path, (x, y) = _curve((start.x, tops[0]), (start.x, control), (end.x, control), (end.x, tops[1] - 2), at=0.5)
        name = named_triple(result.labels, *triple)
        arcs.append(Arrow(path=path, width=2.0, sign="t", title=f"asked: {name}", mark=name.relation.name, x=x, y=y))
    return arcs
