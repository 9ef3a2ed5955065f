"""The progress of a run: a bar on a terminal, a line every so often in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from tracin_dask import types
from tracin_dask.cli.say import say
from tracin_dask.monitor.pace import Pace, left_words

LINE_SECONDS = 30.0
"""Time between two lines where nobody watches a terminal."""


@contextmanager
def run_progress(*, is_resumed: bool) -> Iterator[types.Progress]:
    """Show the rows done, triples per second and the time left.

    What a resumed run reports first was done by an earlier one.
    """
    console, meter = Console(stderr=True), _Meter(is_resumed=is_resumed)
    if not console.is_terminal:
        yield _lines(meter)
        return
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), _PaceColumn(meter))
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("scoring", total=None)

        def report(done: int, total: int) -> None:
            meter.report(done, total)
            progress.update(bar, completed=done, total=total)

        yield report


def _lines(meter: "_Meter") -> types.Progress:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        meter.report(done, total)
        if done < total and time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        say(", ".join([f"scored {done:,} of {total:,} training triples", *meter.words()]), err=True)

    return report


class _Meter:
    """Measures the speed of this run alone: what a resumed run reports first was done by an earlier one."""

    def __init__(self, *, is_resumed: bool) -> None:
        self._started, self._is_resumed = time.monotonic(), is_resumed
        self._pace: Pace | None = None
        self._is_done = False

    def report(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._pace is None:
            self._pace = Pace(total, done, now) if self._is_resumed else Pace(total, 0, self._started)
        self._pace.report(done, now)
        self._is_done = done >= total

    def words(self) -> list[str]:
        """Say how fast the run is, and when it ends."""
        now = time.monotonic()
        if self._pace is None:
            return []
        if self._is_done:
            rate = self._pace.mean_rate(now)
            return [f"{rate:,.0f}/s"] if rate > 0 else []
        left = self._pace.seconds_left(now)
        return [] if left is None else [f"{self._pace.rate(now):,.0f}/s", left_words(left)]


class _PaceColumn(ProgressColumn):
    """The speed and the time left."""

    def __init__(self, meter: _Meter) -> None:
        super().__init__()
        self._meter = meter

    def render(self, task: Task) -> Text:  # noqa: ARG002 - rich's signature
        return Text(", ".join(self._meter.words()))
