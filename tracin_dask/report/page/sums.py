"""Sums of influences, as the rows of bar charts: by relation, by type of entity, and the groups of the run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    is_self: bool
    """Of self-influence, which has no opponents."""
    bars: Sequence[Bar]

    @property
    def unit(self) -> str:
        """The unit of the sums, empty for 1."""
        return self._scale.unit

    @property
    def rows(self) -> Iterator[BarRow]:
        """Write the sums, and measure their bars."""
        scale, longest = self._scale, max((abs(number) for number in self._numbers), default=0.0)
        for bar in self.bars:
            yield BarRow(
                bar=bar,
                positive=scale.signed(bar.positive),
                negative=scale.signed(bar.negative),
                net=scale.signed(bar.net),
                right=percent(bar.positive, longest),
                left=percent(bar.negative, longest),
            )

    @property
    def _numbers(self) -> list[float]:
        return [number for bar in self.bars for number in (bar.positive, bar.negative)]

    @property
    def _scale(self) -> Scale:
        return Scale.of(self._numbers)


def charts_of_listed(found: Listed, *, is_self: bool = False) -> list[Chart]:
    """Add up the listed influences by relation, and by the types of entities where labels have prefixes."""
    influence = found.ranked.influence.tolist()
    if not influence:
        return []
    relations = [[(triple.relation.name, triple.relation.label)] for triple in found.names]
    charts = [
        Chart(
            key="by-relation",
            title="By relation",
            about="Sums over the listed training triples.",
            what="relation",
            is_self=is_self,
            bars=_sums(relations, influence),
        )
    ]
    if any(triple.head.kind or triple.tail.kind for triple in found.names):
        kinds = [dict.fromkeys([(triple.head.kind, ""), (triple.tail.kind, "")]) for triple in found.names]
        charts.append(
            Chart(
                key="by-type",
                title="By type of entity",
                about="Sums over the listed training triples. The type of an entity is the prefix of its label; a "
                "triple counts for the types of both its entities.",
                what="type",
                is_self=is_self,
                bars=_sums(kinds, influence),
            )
        )
    return charts


def charts_of_groups(result: InfluenceResult, index: int) -> list[Chart]:
    """Show the largest groups of each grouping of the run, which sums over all training triples."""
    charts = []
    for place, found in enumerate(result.groups):
        largest = found.table(index, result.run["rank_by"], most=MOST_BARS).to_pylist()
        table = [group for group in largest if group["positive_influence"] or group["negative_influence"]]
        number, by = found.num_groups, visible(found.group_by)
        which = f"the {len(table):,} largest of {number:,} groups" if number > len(table) else f"{number:,} groups"
        charts.append(
            Chart(
                key=f"groups-{place}",
                title=f"All training triples by {by}",
                about=f"Sums over all {result.run['num_training_triples']:,} training triples; {which}.",
                what=by,
                is_self=result.test_triples is None,
                bars=[_group(group) for group in table],
            )
        )
    return [chart for chart in charts if chart.bars]


def _group(group: Mapping[str, Any]) -> Bar:
    name, label = group["group_name"], visible(group["group_label"])
    return Bar(
        name=visible(name) if name else label,
        label=label if name else "",
        triples=group["num_training_triples"],
        positive=group["positive_influence"],
        negative=group["negative_influence"],
        net=group["net_influence"],
    )


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
        bars.append(
            Bar(name=name or NO_PREFIX, label=label, triples=len(values), positive=positive, negative=negative, net=net)
        )
    return sorted(bars, key=lambda bar: (-abs(bar.net), bar.name, bar.label))
