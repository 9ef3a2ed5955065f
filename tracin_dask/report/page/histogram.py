"""Histograms of influences, drawn as SVG: of the listed training triples, and of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ResultError
from tracin_dask.report.page.listed import Listed
from tracin_dask.report.page.numbers import Scale, minus

WIDTH, HEIGHT = 720, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 40, 14, 46
"""Margins around the bars; the right one holds half of a number at the end of the axis."""
MOST_BINS = 24
ROOM = WIDTH - LEFT - RIGHT
FLOOR = HEIGHT - BOTTOM
"""Where the bars stand."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Histogram:
    """How many of all training triples have which influence, for each answer of a result."""

    edges: Float[ndarray, "answer edge"] = field(repr=False)
    """Ascending: bin i is from edge i to edge i + 1."""
    counts: Int[ndarray, "answer bin"] = field(repr=False)

    def check(self, answers: int) -> None:
        """Check that it fits a result.

        Raises
        ------
        ResultError
            If it has another number of answers, not one edge more than bins, or edges that do not ascend.
        """
        edges, counts = self.edges.shape, self.counts.shape
        if edges[0] != answers or counts[0] != answers or edges[1] != counts[1] + 1 or counts[1] == 0:
            raise ResultError(
                f"the histogram has edges {edges} and counts {counts}; expected {answers:,} rows, one for each "
                "answer of the result, and one edge more than bins"
            )
        if not (np.diff(self.edges, axis=1) > 0).all():
            raise ResultError(
                "the edges of the histogram do not ascend; expected each to be larger than the one before"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """A bar of a histogram."""

    x: float
    y: float
    width: float
    height: float
    sign: str
    """`p` above 0, `o` below, `z` on both sides."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A number at an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a histogram is called."""

    key: str
    title: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A histogram that is ready to be drawn."""

    words: Words
    unit: str
    bins: Sequence[Bin]
    """Those that are not empty."""
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    zero: float | None
    known: Sequence[Tick]
    """Where the listed training triples are that are known to be true reasons."""


def of_listed(found: Listed, value_name: str) -> Picture | None:
    """Draw the listed influences; None if there are none."""
    influence = found.ranked.influence
    if not len(influence):
        return None
    edges = nice_edges(float(influence.min()), float(influence.max()))
    counts, _ = np.histogram(influence, edges)
    words = Words(
        key="histogram-listed",
        title="Listed training triples",
        about=f"How many of the {len(influence):,} listed training triples have which {value_name}.",
    )
    return _picture(edges, counts, found, words, is_log=False)


def of_all(histogram: Histogram, index: int, found: Listed) -> Picture:
    """Draw the influences of all training triples; counts on a logarithmic axis, since most are near 0."""
    counts = histogram.counts[index]
    words = Words(
        key="histogram-all",
        title="All training triples",
        about=f"How many of all {int(counts.sum()):,} training triples have which influence; the axis of the counts is "
        "logarithmic.",
    )
    return _picture(histogram.edges[index], counts, found, words, is_log=True)


def nice_edges(low: float, high: float) -> Float[ndarray, " edge"]:
    """Cut a range into at most about 24 bins with round edges, one of which is 0 if 0 is inside."""
    step = _nice((high - low) / MOST_BINS or abs(high) / MOST_BINS or 1.0)
    first, last = floor(low / step), ceil(high / step)
    last += 1 if last == first or last * step <= high else 0  # the highest value is inside the last bin
    return np.arange(first, last + 1) * step


def _nice(step: float) -> float:
    """Round a step up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(step))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= step * (1 - 1e-9))


def _picture(
    edges: Float[ndarray, " edge"], counts: Int[ndarray, " bin"], found: Listed, words: Words, *, is_log: bool
) -> Picture:
    low, high = float(edges[0]), float(edges[-1])
    scale = Scale.of([low, high])
    most = max(1.0, float(_height(counts, is_log=is_log).max()))
    values = [] if found.known is None else found.ranked.influence[found.known].tolist()
    return Picture(
        words=words,
        unit=scale.unit,
        bins=_bins(edges, counts, _height(counts, is_log=is_log) / most, scale),
        x_ticks=_x_ticks(low, high, scale),
        y_ticks=_y_ticks(int(counts.max()), most, is_log=is_log),
        zero=_x(0.0, low, high) if low <= 0 <= high else None,
        known=[Tick(at=_x(value, low, high), text=scale.signed(value)) for value in values if low <= value <= high],
    )


def _height(counts: Int[ndarray, " bin"], *, is_log: bool) -> Float[ndarray, " bin"]:
    return np.log10(1.0 + counts) if is_log else counts.astype(np.float64)


def _bins(
    edges: Float[ndarray, " edge"], counts: Int[ndarray, " bin"], heights: Float[ndarray, " bin"], scale: Scale
) -> list[Bin]:
    """Draw the bars; heights are parts of the highest one."""
    low, high = float(edges[0]), float(edges[-1])
    bins = []
    for number in np.flatnonzero(counts).tolist():
        start, end = float(edges[number]), float(edges[number + 1])
        left, right, size = _x(start, low, high), _x(end, low, high), float(heights[number]) * (FLOOR - TOP)
        bins.append(
            Bin(
                x=round(left + 0.5, 1),
                y=round(FLOOR - size, 1),
                width=round(max(0.5, right - left - 1), 1),
                height=round(size, 1),
                sign="z" if start < 0 < end else "p" if start >= 0 else "o",
                title=f"{scale.signed(start)} to {scale.signed(end)}: {int(counts[number]):,}",
            )
        )
    return bins


def _x(value: float, low: float, high: float) -> float:
    return round(LEFT + (value - low) / (high - low) * ROOM, 1)


def _x_ticks(low: float, high: float, scale: Scale) -> list[Tick]:
    step = _nice((high - low) / 6)
    numbers = range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    decimals = max(0, -floor(log10(step / 10.0**scale.exponent)))
    texts = [minus(f"{number * step / 10.0**scale.exponent:+.{decimals}f}") for number in numbers]
    return [
        Tick(at=_x(number * step, low, high), text=text if number else "0")
        for number, text in zip(numbers, texts, strict=True)
    ]


def _y_ticks(largest: int, most: float, *, is_log: bool) -> list[Tick]:
    if is_log:
        values = [10**power for power in range(floor(log10(max(1, largest))) + 1)]
    else:
        step = max(1, int(_nice(max(1, largest) / 4)))
        values = list(range(step, largest + 1, step))
    heights = _height(np.array(values, np.int64), is_log=is_log).tolist()
    return [
        Tick(at=round(FLOOR - height / most * (FLOOR - TOP), 1), text=f"{value:,}")
        for value, height in zip(values, heights, strict=True)
    ]
