"""Tables and progress bars, as wide as the terminal; messages are printed above the bars."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn
from rich.text import Text

from tracin_dask.cli.say import ABOVE_BARS, is_quiet, say
from tracin_dask.visible import visible

PLAIN_WIDTH = 80
"""Columns of tables where no terminal says another width, nor the variable COLUMNS."""


def show(shown: RenderableType) -> None:
    """Print tables as wide as the terminal; elsewhere as wide as COLUMNS says, or 80 columns."""
    if is_quiet():
        return
    if sys.stdout.isatty():
        Console().print(shown)
    else:
        columns = os.environ.get("COLUMNS", "")
        Console(width=int(columns) if columns.isdecimal() and int(columns) else PLAIN_WIDTH).print(shown)


def show_sentences(*sentences: str) -> None:
    """Print a line each; a terminal gets lines that end between words, a pipe gets them whole."""
    for sentence in sentences:
        if sys.stdout.isatty():
            show(Text(visible(sentence)))
        else:
            say(sentence)


def has_bars() -> bool:
    """Tell whether progress is shown by bars: on a terminal, and not under --quiet."""
    return not is_quiet() and Console(stderr=True).is_terminal


@contextmanager
def bars(*columns: ProgressColumn) -> Iterator[Progress]:
    """Show bars on standard error; messages are printed above them, and standard output is left alone."""
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not has_bars(), redirect_stdout=False) as progress:
        if progress.disable:
            yield progress
            return

        def above(text: str) -> None:
            console.print(Text(text), soft_wrap=True)

        ABOVE_BARS.append(above)
        try:
            yield progress
        finally:
            ABOVE_BARS.remove(above)
