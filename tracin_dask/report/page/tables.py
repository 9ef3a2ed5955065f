"""Proponents and opponents as the rows of tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracin_dask.report.page.listed import SIDES, Listed
from tracin_dask.report.page.names import NamedTriple
from tracin_dask.report.page.numbers import Scale, percent, share
from tracin_dask.report.result import InfluenceResult

MOST_COLUMNS = 6
"""Checkpoints that have a column each; more are drawn as a line."""
MOST_ROWS = 500
"""Rows of a table: a page stays small enough to be opened, whatever `top_k` was."""
SPARK_WIDTH, SPARK_HEIGHT = 72, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A training triple in a table."""

    place: int
    triple: NamedTriple
    value: float
    influence: str
    share: str
    width: float
    """Of the bar, in percent of the longest one on the page."""
    line: int
    is_known: bool
    spread: str
    norm: str
    parts: Sequence[str]
    """What each checkpoint adds."""
    curve: str
    """The same as a line, where there are many checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The table of one side."""

    key: str
    """`proponents`, `opponents` or `self`."""
    title: str
    mark: str
    """What the drawing writes before the place of a row: P or O."""
    num_listed: int
    rows: Sequence[Row]
    """The first of them, if there are very many."""
    unit: str
    columns: Sequence[tuple[str, str]]
    """Name and path of the checkpoints that have a column each."""
    has_spread: bool
    has_norms: bool
    has_curves: bool
    share: str
    """Of all listed influences together."""


def sides(result: InfluenceResult, found: Listed) -> list[Side]:
    """Make the tables that the run asked for: both sides, one of them, or the only one of self-influence."""
    if result.test_triples is None:
        return [_side(result, found, key="self", title="Training triples of the largest self-influence", mark="S")]
    wanted = [name for name in SIDES if result.run["rank_by"] in ("absolute", name)]
    return [_side(result, found, key=name, title=name.capitalize(), mark=name[0].upper()) for name in wanted]


def _side(result: InfluenceResult, found: Listed, *, key: str, title: str, mark: str) -> Side:
    places = list(range(len(found))) if key == "self" else found.side(key)
    scale = Scale.of(found.ranked.influence.tolist())
    columns = [] if found.contributions is None else _checkpoints(result)
    has_curves = len(columns) > MOST_COLUMNS
    size = float(np.abs(found.ranked.influence[places]).sum())
    return Side(
        key=key,
        title=title,
        mark=mark,
        num_listed=len(places),
        rows=[
            _row(found, place, number, scale, has_curves=has_curves)
            for number, place in enumerate(places[:MOST_ROWS], start=1)
        ],
        unit=scale.unit,
        columns=[] if has_curves else columns,
        has_spread=found.spread is not None,
        has_norms=found.norms is not None,
        has_curves=has_curves,
        share=share(size, found.total),
    )


def _checkpoints(result: InfluenceResult) -> list[tuple[str, str]]:
    """Name the checkpoints: by their epochs, where each has another one, or else by their places."""
    about = result.run["checkpoints"]
    epochs = [one["epoch"] for one in about]
    by_epoch = None not in epochs and len(set(epochs)) == len(epochs)
    names = (
        [f"epoch {epoch}" for epoch in epochs] if by_epoch else [f"ckpt {place}" for place in range(1, len(about) + 1)]
    )
    return [(name, str(one["path"])) for name, one in zip(names, about, strict=True)]


def _row(found: Listed, place: int, number: int, scale: Scale, *, has_curves: bool) -> Row:
    value = float(found.ranked.influence[place])
    parts: list[float] = []
    if found.contributions is not None and place < len(found.contributions):
        parts = found.contributions[place].tolist()
    norms, spread = found.norms, found.spread
    return Row(
        place=number,
        triple=found.names[place],
        value=value,
        influence=scale.signed(value),
        share=share(abs(value), found.total),
        width=percent(value, float(np.abs(found.ranked.influence).max())),
        line=int(found.ranked.train_index[place]) + 1,
        is_known=found.known is not None and bool(found.known[place]),
        spread="" if spread is None else scale.plain(float(spread[place])),
        norm="" if norms is None or place >= len(norms) else f"{norms[place]:.4g}",
        parts=[] if has_curves else [scale.signed(part) for part in parts],
        curve=curve(parts) if has_curves and parts else "",
    )


def curve(values: Sequence[float]) -> str:
    """Draw numbers as the path of a small line, with 0 inside."""
    low, high = min(0.0, *values), max(0.0, *values)
    height = (high - low) or 1.0
    step = SPARK_WIDTH / max(1, len(values) - 1)
    points = (
        f"{number * step:.0f} {1 + (high - value) / height * (SPARK_HEIGHT - 2):.1f}"
        for number, value in enumerate(values)
    )
    return "M" + "L".join(points)
