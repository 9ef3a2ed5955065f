"""The table of a study: a row for each method and measure, as text, Parquet and a page with a plot."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracin_dask.identity import Json
from tracin_dask.places.explained import writing
from tracin_dask.places.files import write_bytes, write_json_file
from tracin_dask.places.registry import place_of
from tracin_dask.validation.statistics import Estimate
from tracin_dask.visible import visible

TEXT, PARQUET, PAGE, SUMMARY = "table.txt", "table.parquet", "plot.html", "summary.json"
TEXT_COLUMNS = 100
"""Width of the table in a text file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of a study.

    Attributes
    ----------
    condition
        What was varied besides the method, such as `k = 1`; empty where nothing was.
    """

    method: str
    measure: str
    estimate: Estimate
    condition: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTable:
    """All numbers of a study.

    Attributes
    ----------
    title
        What was measured.
    notes
        What a reader must know: how many trainings, test triples, and what was left out.
    about
        The plan of the study, for the summary.
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    about: Mapping[str, Json] = field(default_factory=dict)

    def columns(self) -> list[tuple[str, str]]:
        """Give the conditions and measures, in the order of the rows."""
        return list(dict.fromkeys((row.condition, row.measure) for row in self.rows))

    def write(self, folder: Path) -> list[Path]:
        """Write the numbers as text, Parquet, a page with a plot, and a summary; each whole or not at all."""
        from tracin_dask.validation.plot import page_of  # noqa: PLC0415 - Bokeh is slow to import

        paths = [folder / name for name in (TEXT, PARQUET, PAGE, SUMMARY)]
        with writing(folder, "the table"):
            write_bytes(paths[0], as_text(self).encode())
            with place_of(paths[1]).writer() as file:
                pq.write_table(self.to_arrow(), file)
            write_bytes(paths[2], page_of(self).encode())
            write_json_file(paths[3], {**self.about, "title": self.title, "notes": list(self.notes)})
        return paths

    def to_arrow(self) -> pa.Table:
        """Give a row per number: method, condition, measure, value, low, high."""
        columns = {
            "method": [row.method for row in self.rows],
            "condition": [row.condition for row in self.rows],
            "measure": [row.measure for row in self.rows],
            **{name: [getattr(row.estimate, name) for row in self.rows] for name in ("value", "low", "high")},
        }
        return pa.table(columns)


def as_text(table: StudyTable) -> str:
    """Give the table and its notes as text."""
    console = Console(width=TEXT_COLUMNS, record=True, file=io.StringIO())
    console.print(on_screen(table), *map(Text, table.notes), sep="\n")
    return console.export_text()


def on_screen(table: StudyTable) -> Table:
    """Show a row per method and condition, and a column per measure, each value above its interval."""
    measures = list(dict.fromkeys(row.measure for row in table.rows))
    shown = Table(title=Text(visible(table.title)), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    shown.add_column("method", overflow="fold")
    for measure in measures:
        shown.add_column(measure.replace(" of ", " of\n"), justify="right", no_wrap=True)
    cells = {(row.method, row.condition, row.measure): _cell(row.estimate) for row in table.rows}
    for method, condition in dict.fromkeys((row.method, row.condition) for row in table.rows):
        name = Text(visible("\n".join(filter(None, (method, condition)))))
        shown.add_row(name, *(cells.get((method, condition, measure), Text()) for measure in measures))
    return shown


def _cell(estimate: Estimate) -> Text:
    return Text.assemble(f"{estimate.value:.3f}\n", (f"{estimate.low:.2f}…{estimate.high:.2f}", "dim"))
