"""The plot of a study: a point with its interval for every method, one panel for each measure."""

from collections.abc import Sequence

from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FactorRange, HoverTool
from bokeh.models.annotations import Whisker
from bokeh.plotting import figure
from bokeh.resources import INLINE

from tracin_dask.validation.table import Row, StudyTable
from tracin_dask.visible import visible

ROW_PIXELS, HEAD_PIXELS, WIDTH_PIXELS = 24, 90, 760


def page_of(table: StudyTable) -> str:
    """Give a page that needs no other file and no network."""
    panels = [
        _panel([row for row in table.rows if (row.condition, row.measure) == found], ", ".join(filter(None, found)))
        for found in table.columns()
    ]
    page: str = file_html(column(*panels), INLINE, title=visible(table.title))
    return page


def _panel(rows: Sequence[Row], title: str) -> figure:
    names = [visible(row.method) for row in rows]
    source = ColumnDataSource(
        {"method": names, **{part: [getattr(row.estimate, part) for row in rows] for part in ("value", "low", "high")}}
    )
    panel = figure(
        y_range=FactorRange(factors=names[::-1]),
        title=visible(title),
        height=HEAD_PIXELS + ROW_PIXELS * len(names),
        width=WIDTH_PIXELS,
        toolbar_location=None,
    )
    points = panel.scatter(x="value", y="method", size=8, source=source)
    panel.add_layout(Whisker(base="method", lower="low", upper="high", dimension="width", source=source))
    panel.add_tools(
        HoverTool(
            renderers=[points],
            tooltips=[("", "@method"), ("value", "@value{0.000}"), ("95 %", "@low{0.000} to @high{0.000}")],
        )
    )
    return panel
