"""The page `/tracin` of the dashboard: progress, workers, strongest training triples so far, failures."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import escape

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, NumeralTickFormatter
from bokeh.models.widgets import DataTable, Div, NumberFormatter, TableColumn
from bokeh.plotting import figure

from tracin_dask.monitor.state import RUNNING, Figures
from tracin_dask.visible import visible

REFRESH_MILLISECONDS = 1_000
COLOR = "#2b6c8f"
NO_RUN = "No run has started yet."


def fill(document: Document, figures: Callable[[], Figures | None]) -> None:
    """Add the page to the document of one browser, and update it every second."""
    page = _Page()
    document.title = "Dask: TracIn"
    document.add_root(page.layout)

    def update() -> None:
        page.show(figures())

    document.add_periodic_callback(update, REFRESH_MILLISECONDS)
    update()


class _Page:
    """The widgets of the page, and their update from a run's figures."""

    def __init__(self) -> None:
        self.headline = Div(text=NO_RUN, name="headline", sizing_mode="stretch_width")
        self.failures = Div(text="", name="failures", sizing_mode="stretch_width")
        self.speed = ColumnDataSource({"time": [], "rate": []}, name="speed")
        self.workers = ColumnDataSource({"worker": [], "rate": []}, name="workers")
        names = ("test", "rank", "influence", "head", "relation", "tail")
        self.best = ColumnDataSource({name: [] for name in names}, name="best")
        self._names = FactorRange(factors=[])
        speed = figure(
            title="triples per second",
            x_axis_type="datetime",
            y_range=DataRange1d(start=0),
            height=260,
            sizing_mode="stretch_width",
        )
        speed.line("time", "rate", source=self.speed, line_width=2, color=COLOR)
        by_worker = figure(
            title="triples per second of each worker",
            x_range=DataRange1d(start=0),
            y_range=self._names,
            height=260,
            sizing_mode="stretch_width",
        )
        by_worker.hbar(y="worker", right="rate", height=0.7, source=self.workers, color=COLOR)
        speed.yaxis.formatter = NumeralTickFormatter(format="0,0")
        by_worker.xaxis.formatter = NumeralTickFormatter(format="0,0")
        columns = [TableColumn(field=name, title=name.replace("test", "test triple")) for name in names]
        columns[2].formatter = NumberFormatter(format="0.000000")
        columns[1].width, columns[2].width = 50, 100
        table = DataTable(
            source=self.best, columns=columns, index_position=None, height=420, sizing_mode="stretch_width"
        )
        self.layout = column(
            self.headline,
            row(speed, by_worker, sizing_mode="stretch_width"),
            Div(text="<h3>Most influential training triples so far</h3>"),
            table,
            self.failures,
            sizing_mode="stretch_width",
        )

    def show(self, now: Figures | None) -> None:
        """Show the current figures of a run."""
        if now is None:
            return
        self.headline.text = _headline(now)
        self.failures.text = _failures(now)
        self.speed.data = {"time": [1000 * time for time, _ in now.history], "rate": [rate for _, rate in now.history]}
        self._names.factors = list(now.by_worker)
        self.workers.data = {"worker": list(now.by_worker), "rate": list(now.by_worker.values())}
        self.best.data = {name: [_cell(getattr(triple, name)) for triple in now.best] for name in self.best.data}


def _headline(now: Figures) -> str:
    share = now.triples_done / now.num_triples
    left = ""
    if now.outcome == RUNNING and now.seconds_left is not None:
        left = f", <b>{_duration(now.seconds_left)}</b> left"
    return (
        f"<h2>TracIn run {_safe(now.run)}: {_safe(now.outcome)}</h2>"
        f"<b>{now.triples_done:,}</b> of {now.num_triples:,} training triples ({share:.1%}), "
        f"<b>{now.tasks_done:,}</b> of {now.num_tasks:,} tasks, {now.triples_per_second:,.0f} triples/s, "
        f"{_duration(now.seconds)} so far{left}; "
        f"{now.tasks_failed:,} failed, {now.tasks_retried:,} retried, {now.workers_lost:,} worker(s) lost"
    )


def _failures(now: Figures) -> str:
    if not now.failures:
        return ""
    lines = [
        f"<li>{datetime.fromtimestamp(failure.time, UTC):%H:%M:%S} UTC {_safe(failure.worker)}: "
        f"{_safe(failure.message)}</li>"
        for failure in now.failures
    ]
    return f"<h3>Failures</h3><ul>{''.join(lines)}</ul>"


def _safe(text: str) -> str:
    """Make text of unknown origin safe in a page."""
    return escape(visible(text))


def _cell(value: str | int | float) -> str | int | float:
    """Return a cell of the table, whose widget escapes what HTML means but not what a reader cannot see."""
    return visible(value) if isinstance(value, str) else value


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
