"""The progress of a run: a bar on a terminal, a line every so often in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tracin_dask import types
from tracin_dask.cli.say import say

LINE_SECONDS = 30.0
"""Time between two lines where nobody watches a terminal."""


@contextmanager
def run_progress() -> Iterator[types.Progress]:
    """Show the rows done, triples per second and the time left."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} triples/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("scoring", total=None, rate=0.0)
        meter = _Meter()

        def report(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, rate=meter.rate(done))

        yield report


def _lines() -> types.Progress:
    meter = _Meter()
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        rate = meter.rate(done)
        if done < total and time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        left = f", {(total - done) / rate:,.0f} s left" if rate > 0 and done < total else ""
        say(f"scored {done:,} of {total:,} training triples, {rate:,.0f}/s{left}", err=True)

    return report


class _Meter:
    """Measures triples per second since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def rate(self, done: int) -> float:
        seconds = time.monotonic() - self._started
        return done / seconds if seconds > 0 else 0.0
