"""How much the listed influences differ between trainings, as the rows of a chart."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracin_dask.report.page.listed import Listed
from tracin_dask.report.page.names import NamedTriple
from tracin_dask.report.page.numbers import Scale

MOST_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """A mean and its spread, as places on an axis in percent of its width."""

    triple: NamedTriple
    influence: str
    spread: str
    middle: float
    start: float
    end: float
    sign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """The strongest influences with their spreads."""

    about: str
    zero: float
    unit: str
    rows: Sequence[Whisker]


def stability_of(found: Listed, trainings: int) -> Stability | None:
    """Compare the strongest influences with their spreads; None where there are none."""
    if found.spread is None or not len(found):
        return None
    means: list[float] = found.ranked.influence.tolist()
    spreads: list[float] = found.spread.tolist()
    clear = sum(abs(mean) > spread for mean, spread in zip(means, spreads, strict=True))
    places = sorted(range(len(means)), key=lambda place: -abs(means[place]))[:MOST_ROWS]
    low = min(0.0, *(means[place] - spreads[place] for place in places))
    high = max(0.0, *(means[place] + spreads[place] for place in places))
    scale, size = Scale.of(means), (high - low) or 1.0

    def at(value: float) -> float:
        return round(100 * (value - low) / size, 1)

    return Stability(
        about=f"{clear:,} of the {len(means):,} listed influences are larger than their spread over the {trainings:,} "
        "trainings. The strongest, with a line of one spread to each side:",
        zero=at(0.0),
        unit=scale.unit,
        rows=[
            Whisker(
                triple=found.names[place],
                influence=scale.signed(means[place]),
                spread=scale.plain(spreads[place]),
                middle=at(means[place]),
                start=at(means[place] - spreads[place]),
                end=at(means[place] + spreads[place]),
                sign="o" if means[place] < 0 else "p",
            )
            for place in places
        ],
    )
