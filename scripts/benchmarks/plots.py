"""The plots of a run: SVG, readable at the width of a README."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.figures import Curve, Figure
from benchmarks.report import Section, all_curves

SIZE_INCHES = (8.0, 4.8)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
"""Distinct for the colour-blind, too (Okabe and Ito)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = {
    "font.size": 11,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "tracin-dask",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePlot:
    """A plot of curves: its file, its texts and its axes."""

    plot: str
    file: str
    title: str
    x: str
    y: str
    is_logarithmic: bool = True


LINE_PLOTS = (
    LinePlot(
        plot="training_triples",
        file="benchmark-training-triples",
        title="Time against training triples",
        x="training triples",
        y="seconds of scoring",
    ),
    LinePlot(
        plot="test_triples",
        file="benchmark-test-triples",
        title="Time against test triples",
        x="test triples",
        y="seconds per million training triples",
    ),
    LinePlot(
        plot="workers",
        file="benchmark-workers",
        title="Speed against processes of one thread each",
        x="processes",
        y="training triples per second",
        is_logarithmic=False,
    ),
)
BARS_FILE = "benchmark-speed"
SHORT_LABEL = 26
"""Labels of so many letters stand in three columns."""
FEW_BARS = 4
MILLION = 1e6


def draw_all(sections: Sequence[Section], folder: Path, *, kind: str = "svg") -> list[Path]:
    """Draw every plot for which something was measured; give the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(STYLE):
        for path, canvas in _canvases(sections, folder, kind):
            canvas.savefig(path, metadata={"Date": None} if kind == "svg" else None)
            written.append(path)
    return written


def speeds(sections: Sequence[Section]) -> dict[str, dict[int, Figure]]:
    """Give training triples per second by who computes and by the number of test triples, from the figures' names."""
    found: dict[str, dict[int, Figure]] = {}
    for figure in (figure for section in sections for figure in section.figures):
        section, _, rest = figure.name.partition(".")
        number, _, quantity = rest.partition(".")
        if not number.removeprefix("t").isdigit():
            continue
        who = {
            ("engine", "triples_per_second"): "tracin-dask",
            ("engine", "loop_triples_per_second"): "per-triple loop",
        }.get((section, quantity))
        if section == "peers" and quantity.endswith(".triples_per_second"):
            who = quantity.removesuffix(".triples_per_second")
        if who is not None:
            found.setdefault(who, {})[int(number.removeprefix("t"))] = figure
    return found


def _canvases(sections: Sequence[Section], folder: Path, kind: str) -> Iterator[tuple[Path, Canvas]]:
    bars = speeds(sections)
    for plot in LINE_PLOTS:
        drawn, curves = plot, all_curves(sections, plot.plot)
        if plot.plot == "test_triples":
            drawn = replace(plot, title=f"{plot.title}{_dimension(sections)}")
            curves += _curves_of_speeds(bars)
        if curves:
            yield folder / f"{plot.file}.{kind}", _canvas(lambda axes, p=drawn, c=curves: _draw_lines(axes, p, c))
    if bars:
        yield folder / f"{BARS_FILE}.{kind}", _canvas(lambda axes: _draw_bars(axes, bars))


def _curves_of_speeds(bars: dict[str, dict[int, Figure]]) -> list[Curve]:
    """Turn triples per second into seconds per million training triples."""
    return [
        Curve(
            plot="test_triples",
            label=who,
            x=tuple(by_number),
            y=tuple(MILLION / figure.median for figure in by_number.values()),
            low=tuple(MILLION / figure.spread[1] for figure in by_number.values()),
            high=tuple(MILLION / figure.spread[0] for figure in by_number.values()),
        )
        for who, by_number in bars.items()
    ]


def _dimension(sections: Sequence[Section]) -> str:
    """Say on which model the engine's section and the peers were measured."""
    facts = (facts for section in sections for facts in section.facts.values())
    known = (found["embedding_dim"] for found in facts if "embedding_dim" in found)
    return next((f"; dimension {number} unless stated" for number in known), "")


def _canvas(draw: Callable[[Axes], None]) -> Canvas:
    canvas = Canvas(figsize=SIZE_INCHES, layout="constrained", dpi=150)
    FigureCanvasAgg(canvas)
    draw(canvas.add_subplot())
    return canvas


def _draw_lines(axes: Axes, plot: LinePlot, curves: Sequence[Curve]) -> None:
    for place, curve in enumerate(curves):
        below = [value - low for value, low in zip(curve.y, curve.low, strict=True)]
        above = [high - value for value, high in zip(curve.y, curve.high, strict=True)]
        axes.errorbar(
            curve.x,
            curve.y,
            yerr=[below, above],
            label=curve.label,
            color=COLOURS[place % len(COLOURS)],
            marker=MARKERS[place % len(MARKERS)],
            capsize=3,
        )
    if plot.is_logarithmic:
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
        axes.margins(x=0.15)
        axes.set_xticks(sorted({x for curve in curves for x in curve.x}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    _legend_below(axes)


def _draw_bars(axes: Axes, bars: dict[str, dict[int, Figure]]) -> None:
    numbers = sorted({number for by_number in bars.values() for number in by_number})
    width, size = 0.84 / len(bars), 9 if len(bars) <= FEW_BARS else 6.5
    for place, (who, by_number) in enumerate(bars.items()):
        places = [numbers.index(number) + (place - (len(bars) - 1) / 2) * width for number in by_number]
        heights = [figure.median for figure in by_number.values()]
        drawn = axes.bar(places, heights, width, label=who, color=COLOURS[place % len(COLOURS)])
        axes.bar_label(drawn, [short_number(height) for height in heights], fontsize=size, padding=1)
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_xticks(range(len(numbers)), [f"{number:,} test triple{'s' * (number > 1)}" for number in numbers])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.set(title="float32, one process; all parameters unless stated", ylabel="training triples per second")
    axes.grid(visible=False, axis="x")
    _legend_below(axes)


def _legend_below(axes: Axes) -> None:
    """Put the legend below the axes, where it hides nothing."""
    canvas = axes.get_figure()
    assert canvas is not None  # noqa: S101 - axes are drawn into one
    longest = max(len(text) for text in axes.get_legend_handles_labels()[1])
    columns = 3 if longest <= SHORT_LABEL else 2
    canvas.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=10)


def short_number(value: float) -> str:
    """Write a number in a few characters: 0.05, 31, 2,400, 70 k, 18.6 M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g} {letter}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
