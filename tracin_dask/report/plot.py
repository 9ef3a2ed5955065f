"""Drawings of one answer with Matplotlib: pictures that stay in a notebook, a PDF or a paper without any script."""

from textwrap import wrap
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from tracin_dask.errors import ConfigError
from tracin_dask.report.paths.search import ScoredPath, listed, paths_of
from tracin_dask.report.result import InfluenceResult, RankedTriples, join
from tracin_dask.report.table import asked
from tracin_dask.report.words import Words
from tracin_dask.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Plot = Literal["top", "histogram", "paths"]
PROPONENT, OPPONENT = "tab:blue", "tab:orange"
_COLORS = {"proponents": PROPONENT, "opponents": OPPONENT, "no influence": "tab:gray"}
_SHOWN_CHARACTERS = 28
"""Of a name; longer ones are shortened."""
_LINE_CHARACTERS = 20
"""Of a line of a name in a drawing of paths, which has two lines."""
_PATH_INCHES = 0.7
"""The height of a path."""


def plot(result: InfluenceResult, kind: Plot, test_index: int = 0, *, most: int = 10) -> "Axes":
    """Draw one answer; raises as `InfluenceResult.plot`."""
    if kind not in get_args(Plot):
        raise ConfigError(f"{kind!r} is no plot; expected {', '.join(get_args(Plot))}")
    if not 0 <= test_index < len(result):
        raise ConfigError(f"no answer has index {test_index}: the result has {len(result):,}, counted from 0")
    axes = {"top": _draw_top, "histogram": _draw_histogram, "paths": _draw_paths}[kind](result, test_index, most)
    title = "self-influence" if result.test_triples is None else asked(result, test_index)
    axes.set_title(_plain(title), fontsize="medium", wrap=True)
    return axes


def _new_axes(width: float = 8.0, height: float = 4.0) -> "Axes":
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigError(f"plots need Matplotlib, which is not installed ({error}): pip install matplotlib") from error
    _, axes = plt.subplots(figsize=(width, height), layout="constrained")
    return axes


def _draw_top(result: InfluenceResult, test_index: int, most: int) -> "Axes":
    """Draw the strongest proponents, the first on top, and below them the opponents, the strongest at the bottom."""
    ranked = _both_sides(result, test_index, most)
    words, places = Words.of(result.labels), np.arange(len(ranked))[::-1]
    axes = _new_axes()
    axes.barh(places, ranked.influence, color=np.where(ranked.influence > 0, PROPONENT, OPPONENT).tolist())
    names = [_plain(" — ".join(map(_short, words.triple(triple)))) for triple in ranked.triples.tolist()]
    axes.set_yticks(places, names, fontsize="small")
    axes.axvline(0, color="gray", linewidth=0.8)
    axes.set_xlabel(result.value_name.replace("_", "-"))
    return axes


def _both_sides(result: InfluenceResult, test_index: int, most: int) -> RankedTriples:
    if result.test_triples is None:
        return result.rankings[0].take(slice(most))
    proponents, opponents = (result.side(side, test_index).take(slice(most)) for side in ("proponents", "opponents"))
    return join([proponents, opponents.take(slice(None, None, -1))])


def _draw_histogram(result: InfluenceResult, test_index: int, _most: int) -> "Axes":
    """Draw how many of the listed training triples have which influence."""
    influence = listed(result, test_index).influence
    limits = np.histogram_bin_edges(influence, bins=min(40, max(5, len(influence) // 3))) if len(influence) else [0, 1]
    sides = {"proponents": influence > 0, "opponents": influence < 0, "no influence": influence == 0}
    axes, shown = _new_axes(), [name for name, side in sides.items() if side.any()]
    if shown:
        values, colors = [influence[sides[name]] for name in shown], [_COLORS[name] for name in shown]
        axes.hist(values, bins=list(limits), stacked=True, color=colors, label=shown)
    axes.set_xlabel(result.value_name.replace("_", "-"))
    axes.set_ylabel("listed training triples")
    if shown and result.test_triples is not None:
        axes.legend()
    return axes


def _draw_paths(result: InfluenceResult, test_index: int, most: int) -> "Axes":
    """Draw each of the best paths as a row from head to tail; arrows lead from the head of a triple to its tail."""
    paths, words = paths_of(result, test_index, most_paths=most), Words.of(result.labels)
    axes = _new_axes(10.0, 1 + _PATH_INCHES * max(1, len(paths)))
    axes.axis("off")
    axes.set(xlim=(-0.1, 1.1), ylim=(0.5 - max(1, len(paths)), 0.5))
    if not paths:
        axes.text(0.5, 0, "no path of 2 to 3 hops through the listed training triples", ha="center", va="center")
    ranked = listed(result, test_index)
    for row, path in enumerate(paths):
        _draw_path(axes, path, ranked, words, -float(row))
    return axes


def _draw_path(axes: "Axes", path: ScoredPath, ranked: RankedTriples, words: Words, height: float) -> None:
    places = np.linspace(0, 1, len(path.nodes)).tolist()
    boxes = []
    for node, place in zip(path.nodes, places, strict=True):
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "gray"}
        text = _two_lines(words.entities[node])
        named = axes.text(place, height, text, ha="center", va="center", fontsize="small", color="black", bbox=box)
        boxes.append(named.get_bbox_patch())
    for hop, (entry, is_backwards) in enumerate(zip(path.entries, path.backwards, strict=True)):
        first, last = (hop + 1, hop) if is_backwards else (hop, hop + 1)
        color = PROPONENT if ranked.influence[entry] > 0 else OPPONENT
        arrow = {"arrowstyle": "-|>", "color": color, "patchA": boxes[first], "patchB": boxes[last]}
        start, end = (places[first], height), (places[last], height)
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})
        relation = _two_lines(words.relations[int(ranked.triples[entry, 1])])
        for text, points in ((relation, 3), (f"{ranked.influence[entry]:+.3g}", -3)):
            axes.annotate(
                text,
                ((places[hop] + places[hop + 1]) / 2, height),
                xytext=(0, points),
                textcoords="offset points",
                fontsize="small",
                color=color,
                ha="center",
                va="bottom" if points > 0 else "top",
            )


def _two_lines(text: str) -> str:
    """Break a name, and shorten what two lines do not hold."""
    lines = wrap(_short(visible(text)), _LINE_CHARACTERS, max_lines=2, placeholder="…")
    return "\n".join(_plain(line) for line in lines)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _plain(text: str) -> str:
    """Write text that Matplotlib would read as mathematics as it is."""
    return visible(text).replace("$", r"\$")
