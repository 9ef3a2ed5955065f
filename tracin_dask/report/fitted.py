"""Tables that fit the terminal: names are broken between words, and prefixes that a column repeats are said once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.report.labels import ROLES
from tracin_dask.report.widths import Texts, shared_widths
from tracin_dask.report.wrapping import MOST_LINES, wrapped

_FRAME_OF_COLUMN, _FRAME = 3, 1
"""What the lines and blanks of a table take."""
TRIPLE_SEPARATOR = " — "
_PREFIX = re.compile(r"[A-Za-z]\S*[:/#]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: numbers are shown whole at the right, texts get what is left of the width."""

    heading: str
    cells: Sequence[str]
    is_text: bool = False
    at_spaces: bool = False
    """Whether lines of text break at spaces alone."""
    most_lines: int = MOST_LINES
    """A longer text is shortened."""

    @property
    def width(self) -> int:
        """What the column takes in full."""
        return max(cell_len(line) for text in (self.heading, *self.cells) for line in text.split("\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTable:
    """A table with a title above it."""

    title: str
    columns: Sequence[Column]

    def texts(self, heading: str) -> list[str]:
        """Give what a column of texts holds."""
        return [cell for one in self.columns if one.heading == heading and one.is_text for cell in one.cells if cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTables:
    """Tables that are shown below each other, and what was left out of them."""

    tables: Sequence[FittedTable]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Fit the tables into the width of the console."""
        width = options.max_width
        is_narrow = any(_widths(table.columns, width) != _full(table.columns) for table in self.tables)
        prefixes = _prefixes(self.tables) if is_narrow else {}
        shown = [[_without(column, prefixes) for column in table.columns] for table in self.tables]
        if any(_breaks_words(columns, width) for columns in shown):
            shown = [_with_triples_in_one(columns) for columns in shown]
        for table, columns in zip(self.tables, shown, strict=True):
            yield Text(table.title, style="bold")
            yield _framed(columns, _widths(columns, width))
        if prefixes:
            said = ", ".join(f"{prefix} of every {heading}" for heading, prefix in prefixes.items())
            yield Text(f"Left out above: the prefix {said}.", style="dim")


def triple_columns(triples: Sequence[tuple[str, str, str]]) -> list[Column]:
    """Make the columns of heads, relations and tails."""
    return [
        Column(heading=role, cells=[triple[place] for triple in triples], is_text=True)
        for place, role in enumerate(ROLES)
    ]


def _prefixes(tables: Sequence[FittedTable]) -> dict[str, str]:
    """Find what all texts of a column begin with, up to a colon, slash or hash; by its heading."""
    found = {}
    for heading in dict.fromkeys(column.heading for table in tables for column in table.columns if column.is_text):
        texts = [text for table in tables for text in table.texts(heading)]
        prefix = _PREFIX.match(_beginning(texts)) if len(texts) > 1 else None
        if prefix is not None and all(len(text) > prefix.end() for text in texts):
            found[heading] = prefix[0]
    return found


def _beginning(texts: Sequence[str]) -> str:
    """Give the longest text that all begin with; it is that of the first and the last in their order."""
    pairs = zip(min(texts), max(texts), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _without(column: Column, prefixes: Mapping[str, str]) -> Column:
    prefix = prefixes.get(column.heading, "")
    if not (column.is_text and prefix):
        return column
    return replace(column, cells=[cell.removeprefix(prefix) for cell in column.cells])


def _breaks_words(columns: Sequence[Column], width: int) -> bool:
    """Tell whether texts get less than their longest words take."""
    texts = [Texts(heading=column.heading, cells=column.cells) for column in columns if column.is_text]
    return sum(min(one.full_width, one.least_width) for one in texts) > _left_for_texts(columns, width)


def _with_triples_in_one(columns: Sequence[Column]) -> list[Column]:
    """Put head, relation and tail into one column, where lines are long enough for whole words."""
    parts = [column for column in columns if column.heading in ROLES]
    if len(parts) < len(ROLES):
        return list(columns)
    one = Column(
        heading=TRIPLE_SEPARATOR.join(ROLES),
        cells=[TRIPLE_SEPARATOR.join(filter(None, row)) for row in zip(*(part.cells for part in parts), strict=True)],
        is_text=True,
        most_lines=len(parts) * MOST_LINES,
    )
    return [one if column is parts[0] else column for column in columns if column not in parts[1:]]


def _full(columns: Sequence[Column]) -> list[int]:
    return [column.width for column in columns]


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Give numbers their full width, and texts what is left."""
    full = _full(columns)
    texts = [place for place, column in enumerate(columns) if column.is_text]
    left = _left_for_texts(columns, width)
    if sum(full[place] for place in texts) <= left:
        return full
    shared = shared_widths([Texts(heading=columns[place].heading, cells=columns[place].cells) for place in texts], left)
    found = dict(zip(texts, shared, strict=True))
    return [found.get(place, number) for place, number in enumerate(full)]


def _left_for_texts(columns: Sequence[Column], width: int) -> int:
    """Give what frames and numbers leave of a width."""
    numbers = sum(column.width for column in columns if not column.is_text)
    return width - _FRAME - _FRAME_OF_COLUMN * len(columns) - numbers


def _framed(columns: Sequence[Column], widths: Sequence[int]) -> Table:
    table = Table()
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "left" if column.is_text else "right"
        table.add_column(Text(column.heading), justify=justify, width=width, overflow="fold")
    cells = [
        [
            Text(wrapped(cell, width, column.most_lines) if column.is_text and not column.at_spaces else cell)
            for cell in column.cells
        ]
        for column, width in zip(columns, widths, strict=True)
    ]
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table
