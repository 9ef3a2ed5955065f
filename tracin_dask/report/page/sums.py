"""Sums of influences, as the rows of bar charts: by relation, by type of entity, and the groups of the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tracin_dask.report.page.listed import Listed
from tracin_dask.report.page.numbers import Scale, percent
from tracin_dask.report.result import InfluenceResult
from tracin_dask.visible import visible

MOST_BARS = 20
"""Groups that a chart shows."""
NO_PREFIX = "(no prefix)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A group of training triples."""

    name: str
    label: str
    triples: int
    positive: float
    negative: float
    net: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRow:
    """A group with its sums as text, and the lengths of its bars in percent of the longest one."""

    bar: Bar
    positive: str
    negative: str
    net: str
    right: float
    left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A bar chart."""

    key: str
    title: str
    about: str
    what: str
    """What a bar is: relation, type, ..."""
    unit: str
    rows: Sequence[BarRow]


def charts_of_listed(found: Listed) -> list[Chart]:
    """Add up the listed influences by relation, and by the types of entities where labels have prefixes."""
    influence = found.ranked.influence.tolist()
    relations = [[(triple.relation.name, triple.relation.label)] for triple in found.names]
    charts = [
        _chart(
            key="by-relation",
            title="By relation",
            about="Sums over the listed training triples.",
            what="relation",
            bars=_sums(relations, influence),
        )
    ]
    if any(triple.head.kind or triple.tail.kind for triple in found.names):
        kinds = [
            [(kind or NO_PREFIX, "") for kind in _kinds(triple.head.kind, triple.tail.kind)] for triple in found.names
        ]
        about = (
            "Sums over the listed training triples. The type of an entity is the prefix of its label; a triple counts "
            "for the types of both its entities."
        )
        charts.append(
            _chart(key="by-type", title="By type of entity", about=about, what="type", bars=_sums(kinds, influence))
        )
    return [chart for chart in charts if chart.rows]


def charts_of_groups(result: InfluenceResult, index: int) -> list[Chart]:
    """Show the largest groups of each grouping of the run, which sums over all training triples."""
    charts = []
    for place, found in enumerate(result.groups):
        table = found.table(index, result.run["rank_by"], most=MOST_BARS).to_pylist()
        number, by = found.num_groups, visible(found.group_by)
        which = f"the {len(table):,} largest of {number:,} groups" if number > len(table) else f"{number:,} groups"
        charts.append(
            _chart(
                key=f"groups-{place}",
                title=f"All training triples by {by}",
                about=f"Sums over all {result.run['num_training_triples']:,} training triples; {which}.",
                what=by,
                bars=[
                    Bar(
                        name=visible(group["group_name"] or group["group_label"]),
                        label=visible(group["group_label"]) if group["group_name"] else "",
                        triples=group["num_training_triples"],
                        **{side: group[f"{side}_influence"] for side in ("positive", "negative", "net")},
                    )
                    for group in table
                ],
            )
        )
    return charts


def _kinds(head: str, tail: str) -> Iterable[str]:
    return dict.fromkeys((head, tail))


def _sums(keys: Sequence[Iterable[tuple[str, str]]], influence: Sequence[float]) -> list[Bar]:
    """Add up influences by keys (name, label), of which each training triple has one or two; the largest first."""
    groups: dict[tuple[str, str], list[float]] = {}
    for found, value in zip(keys, influence, strict=True):
        for key in found:
            groups.setdefault(key, []).append(value)
    bars = []
    for (name, label), values in groups.items():
        sums = np.array(values)
        positive, negative = float(sums.clip(min=0).sum()), float(sums.clip(max=0).sum())
        net = positive + negative
        bars.append(Bar(name=name, label=label, triples=len(values), positive=positive, negative=negative, net=net))
    return sorted(bars, key=lambda bar: (-abs(bar.net), bar.name, bar.label))


def _chart(*, key: str, title: str, about: str, what: str, bars: Sequence[Bar]) -> Chart:
    numbers = [number for bar in bars for number in (bar.positive, bar.negative)]
    scale, longest = Scale.of(numbers), max(map(abs, numbers), default=0.0)
    rows = [
        BarRow(
            bar=bar,
            positive=scale.signed(bar.positive),
            negative=scale.signed(bar.negative),
            net=scale.signed(bar.net),
            right=percent(bar.positive, longest),
            left=percent(bar.negative, longest),
        )
        for bar in bars
    ]
    return Chart(key=key, title=title, about=about, what=what, unit=scale.unit, rows=rows)
