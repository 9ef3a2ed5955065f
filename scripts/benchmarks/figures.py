"""Figures: named measurements with a unit and a value per round, and the curves of the plots."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity; `title` is what the table calls it, `values` has one entry per round or item."""

    name: str
    title: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of a plot: `plot` names it, `label` the line in it; `low` and `high` bound the rounds."""

    plot: str
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(slots=True)
class Collector:
    """Gathers the figures, curves and facts of one section while it runs."""

    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def figure(self, name: str, title: str, unit: str, values: Sequence[float]) -> Figure:
        """Add a figure."""
        made = Figure(name=name, title=title, unit=unit, values=tuple(map(float, values)))
        self.figures.append(made)
        return made

    def curve(self, plot: str, label: str, points: Mapping[float, Sequence[float]]) -> Curve:
        """Add a curve from the rounds at each abscissa."""
        made = Curve(
            plot=plot,
            label=label,
            x=tuple(points),
            y=tuple(statistics.median(values) for values in points.values()),
            low=tuple(min(values) for values in points.values()),
            high=tuple(max(values) for values in points.values()),
        )
        self.curves.append(made)
        return made

    def as_dict(self) -> dict[str, Any]:
        """Give all of it as JSON can hold it."""
        return {
            "figures": [asdict(figure) for figure in self.figures],
            "curves": [asdict(curve) for curve in self.curves],
            "facts": self.facts,
        }


def figures_of(contents: Mapping[str, Any]) -> list[Figure]:
    """Read the figures back from a report."""
    return [Figure(**{**entry, "values": tuple(entry["values"])}) for entry in contents["figures"]]


def curves_of(contents: Mapping[str, Any]) -> list[Curve]:
    """Read the curves back from a report."""
    return [Curve(**{key: _value(value) for key, value in entry.items()}) for entry in contents["curves"]]


def _value(value: Any) -> Any:  # noqa: ANN401 - text or a list of numbers
    return tuple(value) if isinstance(value, list) else value
