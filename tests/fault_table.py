"""The table of faults: tests marked `fault` say what goes wrong and what is promised, and note what they saw.

    @pytest.mark.fault("a worker is killed in the middle", promised="the same bits")
    def test_...(seen):
        ...
        seen("exit code 0, the same bits")

Without a call of `seen`, the table shows the last error of the package that the test caused.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tracin_dask.errors import TracInDaskError

MARKER = "fault(fault, promised): a row of the table of faults"
AREAS = {
    "triples": "Text, id maps, groups and stores",
    "models": "Checkpoints, models and training",
    "influence": "Numbers",
    "runs": "Runs",
    "places": "Files",
    "report": "Results",
    "clusters": "Clusters",
    "launch": "Clusters",
    "monitor": "Clusters",
    "cli": "Commands",
}
"""Headings of the table, by the room of a test."""
_NOTHING_SEEN = "as promised"
_MOST_CHARACTERS = 240
_TEMPORARY = re.compile(r"(/[^\s:,;'\"()]+)?/(pytest-of-\w+|popen-gw\d+|pytest-\d+)/([^\s:,;'\"()/]+/)*")
"""Folders of the tests, which say nothing to a reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: what went wrong, what is promised, what was seen, in how many cases."""

    area: str
    fault: str
    promised: str
    seen: str
    cases: int = 1


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", MARKER)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the page."""
    parser.addoption("--fault-table", type=Path, help="Write the table of faults as a page; use with -m fault.")


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note what was seen of a fault, for the table."""

    def note(text: str) -> None:
        record_property("seen", text)

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note what a marked test is about, and the last error that it caused."""
    marker = item.get_closest_marker("fault")
    if marker is None:
        return (yield)
    room = item.path.parent.name
    item.user_properties.append(("fault", (AREAS.get(room, room), marker.args[0], marker.kwargs["promised"])))

    def noted(self: TracInDaskError, *words: object) -> None:
        item.user_properties.append(("told", str(words[0]) if words else type(self).__name__))
        Exception.__init__(self, *words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TracInDaskError, "__init__", noted)
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the page, if every marked test passed."""
    page = config.getoption("--fault-table")
    if page is None:
        return
    stats = terminalreporter.stats
    if stats.get("failed") or stats.get("error"):
        terminalreporter.write_line("no table of faults: a test failed")
        return
    rows = joined(_row(report) for report in stats.get("passed", []) if "fault" in dict(report.user_properties))
    page.write_text(as_page(rows), encoding="utf-8")
    terminalreporter.write_line(f"wrote {page}: {len(rows)} faults")


def joined(rows: Iterable[Row]) -> list[Row]:
    """Join the cases of one fault, and sort by area; the first case that was seen speaks for all."""
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row.area, row.fault, row.promised)
        before = found.get(key)
        seen = row.seen if before is None or before.seen == _NOTHING_SEEN else before.seen
        cases = row.cases + (0 if before is None else before.cases)
        found[key] = Row(area=row.area, fault=row.fault, promised=row.promised, seen=seen, cases=cases)
    order = list(dict.fromkeys(AREAS.values()))
    return sorted(found.values(), key=lambda row: (order.index(row.area) if row.area in order else -1, row.fault))


def as_page(rows: Iterable[Row]) -> str:
    """Write the rows as Markdown."""
    lines = [
        "# Faults and bad input",
        "",
        "What goes wrong, what is promised, and what was seen when the tests did it.",
        "`scripts/fault_table` makes this page.",
    ]
    area = None
    for row in rows:
        if row.area != area:
            area = row.area
            lines += ["", f"## {area}", "", "| fault | promised | seen | cases |", "|---|---|---|---|"]
        lines.append(f"| {row.fault} | {row.promised} | {_cell(row.seen)} | {row.cases} |")
    return "\n".join(lines) + "\n"


def _row(report: pytest.TestReport) -> Row:
    about = dict(report.user_properties)
    area, fault, promised = about["fault"]
    seen = str(about.get("seen") or about.get("told") or _NOTHING_SEEN)
    return Row(area=area, fault=fault, promised=promised, seen=seen)


def _cell(text: str) -> str:
    """Make a text fit into a cell: one line, without the folders of the tests."""
    line = " ".join(_TEMPORARY.sub("", text).split())
    short = line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS].rpartition(' ')[0]} …"
    return short if short == _NOTHING_SEEN else "`" + short.replace("`", "'").replace("|", "\\|") + "`"
