"""The page `/tracin` of the dashboard: progress, workers, strongest training triples so far, failures."""

from collections.abc import Callable
from typing import Any

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, NumeralTickFormatter
from bokeh.models.annotations import Title
from bokeh.models.plots import Plot
from bokeh.models.widgets import Div, Select
from bokeh.plotting import figure

from tracin_dask.monitor import words
from tracin_dask.monitor.state import RUNNING, BestList, BestLists, Figures

REFRESH_MILLISECONDS = 1_000
COLOR = "#2b6c8f"
CHART_PIXELS = 220
"""Height of a chart."""
MOST_WORKERS = 16
"""Bars in the chart of workers."""
FIRST = "0"
"""The choice of the first test triple."""

Update = Callable[[], None]


def fill(document: Document, figures: Callable[[], Figures | None], address: str) -> Update:
    """Add the page to the document of one browser, and update it every second; returns what updates it at once."""
    page = _Page(address)
    document.title = "Dask: TracIn"
    document.add_root(page.layout)

    def update() -> None:
        page.show(figures())

    document.add_periodic_callback(update, REFRESH_MILLISECONDS)
    update()
    return update


class _Page:
    """The widgets of the page, and their update from a run's figures.

    The strongest training triples are a table of HTML: Bokeh's DataTable draws its cells anew only when the number of
    rows changes.
    """

    def __init__(self, address: str) -> None:
        self.headline = _text("headline", words.no_run(address))
        self.title, self.table, self.failures = _text("title"), _text("best"), _text("failures")
        self.choice = Select(name="choice", value=FIRST, options=[], visible=False, sizing_mode="stretch_width")
        self.choice.on_change("value", lambda attr, old, new: self._show_chosen())  # noqa: ARG005 - Bokeh's signature
        self.speed = ColumnDataSource({"time": [], "rate": []}, name="speed")
        self.workers = ColumnDataSource({"worker": [], "rate": []}, name="workers")
        self._names = FactorRange(factors=[])
        self._by_worker = Title(text="")
        charts = [_speed_chart(self.speed), _worker_chart(self.workers, self._names, self._by_worker)]
        self._charts = row(*charts, sizing_mode="stretch_width", visible=False)
        self._run, self._lists = "", BestLists()
        self.layout = column(
            self.headline,
            self._charts,
            self.title,
            self.choice,
            self.table,
            self.failures,
            sizing_mode="stretch_width",
        )

    def show(self, now: Figures | None) -> None:
        """Show the current figures of a run."""
        if now is None:
            return
        self._charts.visible = True
        self.headline.text, self.failures.text = words.headline(now), words.failures(now)
        self.speed.data = {"time": [1000 * time for time, _ in now.history], "rate": [rate for _, rate in now.history]}
        self._show_workers(now)
        self._show_lists(now)

    def _show_workers(self, now: Figures) -> None:
        """Show the slowest workers: the others wait for them."""
        slowest = dict(sorted(now.by_worker.items(), key=lambda one: one[1])[:MOST_WORKERS])
        some = f" ({len(slowest)} slowest of {len(now.by_worker):,})" if len(slowest) < len(now.by_worker) else ""
        self._by_worker.text = f"triples per second of each worker{some}"
        names = sorted(slowest)
        self._names.factors = names
        self.workers.data = {"worker": names, "rate": [slowest[name] for name in names]}

    def _show_lists(self, now: Figures) -> None:
        """Offer the test triples to choose from, and show the table of the chosen one."""
        self._lists = now.lists
        self.title.text = words.best_title(now.lists, running=now.outcome == RUNNING)
        offered: list[str | tuple[Any, str]] = [*words.options(now.lists)]
        self.choice.title, self.choice.options = f"{now.lists.word}:", offered
        self.choice.visible = len(now.lists.lists) > 1
        if self._run != now.run:
            self._run, self.choice.value = now.run, FIRST
        self._show_chosen()

    def _show_chosen(self) -> None:
        lists = {str(place): one for place, one in enumerate(self._lists.lists)}
        chosen = lists.get(self.choice.value, BestList(test="", triples=()))
        self.table.text = words.best_table(chosen.test if self._lists.word else "", chosen.triples)


def _text(name: str, text: str = "") -> Div:
    """Make a place for text; Bokeh would take dollar signs in a label for a formula."""
    return Div(name=name, text=text, sizing_mode="stretch_width", stylesheets=[words.STYLE], disable_math=True)


def _speed_chart(speed: ColumnDataSource) -> Plot:
    chart = figure(
        title="triples per second",
        x_axis_type="datetime",
        y_range=DataRange1d(start=0),
        height=CHART_PIXELS,
        sizing_mode="stretch_width",
        toolbar_location=None,
    )
    chart.line("time", "rate", source=speed, line_width=2, color=COLOR)
    chart.yaxis.formatter = NumeralTickFormatter(format="0,0")
    return chart


def _worker_chart(workers: ColumnDataSource, names: FactorRange, title: Title) -> Plot:
    chart = figure(
        title=title,
        x_range=DataRange1d(start=0),
        y_range=names,
        height=CHART_PIXELS,
        sizing_mode="stretch_width",
        toolbar_location=None,
    )
    chart.hbar(y="worker", right="rate", height=0.7, source=workers, color=COLOR)
    chart.xaxis.formatter = NumeralTickFormatter(format="0,0")
    return chart
