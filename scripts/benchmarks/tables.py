"""The table of a run, on the screen and as Markdown."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.report import Section
from benchmarks.requirements import Verdict
from benchmarks.settings import SECTIONS

COLUMNS = ("figure", "measured: median (min-max)", "required", "met")
START, END = "<!-- figures: written by scripts/bench --markdown -->", "<!-- end of figures -->"
_MET = {True: "yes", False: "no", None: ""}


def screen_table(sections: Sequence[Section]) -> Table:
    """Make the table for the screen."""
    table = Table(*COLUMNS, title="tracin-dask benchmarks", title_justify="left")
    for section in sections:
        table.add_section()
        table.add_row(f"[bold]{section.name}[/bold]")
        for verdict in section.verdicts():
            style = {True: "green", False: "red", None: None}[verdict.met]
            table.add_row(*cells(verdict), style=style)
    return table


def markdown(sections: Sequence[Section], images: Sequence[str] = ()) -> str:
    """Make the table as Markdown, each section with the machine that it was measured on, after the plots."""
    shown = [f"![{Path(image).stem.replace('-', ' ')}]({image})" for image in images]
    return "\n\n".join([*shown, *(_section_markdown(section) for section in sections)]) + "\n"


def write_markdown(path: Path, sections: Sequence[Section], plots: Sequence[Path] = ()) -> None:
    """Replace what lies between the two marks of a document by the plots and the table.

    Raises
    ------
    ValueError
        If the document has no such place.
    """
    text = path.read_text()
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{path} needs the lines {START} and {END}, between which the table is written")
    images = [os.path.relpath(plot, path.parent) for plot in plots]
    path.write_text(f"{before}{START}\n\n{markdown(sections, images)}\n{END}{after}")


def cells(verdict: Verdict) -> tuple[str, str, str, str]:
    """Give a row's texts."""
    return verdict.figure.title, measured(verdict.figure), verdict.required, _MET[verdict.met]


def measured(figure: Figure) -> str:
    """Give a figure's median, and its spread where there was more than one round."""
    unit = f" {figure.unit}" if figure.unit else ""
    if len(figure.values) == 1:
        return f"{number(figure.median)}{unit}"
    low, high = figure.spread
    return f"{number(figure.median)} ({number(low)}-{number(high)}){unit}"


def number(value: float) -> str:
    """Write a number with as many digits as tell something: three, four just below 1."""
    if value != 0 and abs(value) < 0.01:
        return f"{value:.2g}"
    if abs(value) < 1:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}"


def about(section: Section) -> str:
    """Say what a section was measured on."""
    machine = section.machine
    device = f", {machine['device_name']}" if machine["device"] == "cuda" else ""
    speeds = [machine[when] for when in ("before", "after")]
    copies = max(speed["copy_gigabytes_per_second"] for speed in speeds)
    loads = ", ".join(f"{speed['load_average'][0]:.1f}" for speed in speeds)
    quick = "; a quick run, which judges nothing" if section.is_quick else ""
    return (
        f"{machine['cpu']}{device}, {machine['threads']} of {machine['cpus']} CPUs, PyTorch {machine['torch']}; "
        f"G = {section.gflops:.0f} GFLOP/s, copies {copies:.0f} GB/s, load average before and after {loads}{quick}."
    )


def _section_markdown(section: Section) -> str:
    title = SECTIONS[section.name]
    lines = [f"### {section.name}", "", f"{title[0].upper()}{title[1:]}. {about(section)}", ""]
    lines += [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    lines += [_row(cells(verdict)) for verdict in section.verdicts()]
    return "\n".join(lines)


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
