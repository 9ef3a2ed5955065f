"""The progress of a run: a bar on a terminal or in a notebook, a line every so often in a log."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from tracin_dask import types
from tracin_dask.monitor.pace import Pace, left_words

_BAR_WIDTH = 20
"""Leaves room for numbers of millions of triples in 80 columns."""
LINE_SECONDS = 30.0
"""Time between two lines where nobody watches a terminal."""
Bars = Callable[..., AbstractContextManager[Progress]]
"""Shows bars with the given columns while its block lasts."""


@contextmanager
def run_progress(*, is_resumed: bool, say: Callable[[str], object], bars: Bars | None) -> Iterator[types.Progress]:
    """Show the rows done, triples per second and the time left; without `bars`, `say` prints a line every so often.

    What a resumed run reports first was done by an earlier one.
    """
    meter = _Meter(is_resumed=is_resumed)
    if bars is None:
        yield _lines(meter, say)
        return
    columns = (TextColumn("scoring"), BarColumn(bar_width=_BAR_WIDTH), MofNCompleteColumn(), _PaceColumn(meter))
    with bars(*columns) as progress:
        bar = progress.add_task("scoring", total=None)

        def report(done: int, total: int) -> None:
            meter.report(done, total)
            progress.update(bar, completed=done, total=total)

        yield report


def console_bars() -> Bars | None:
    """Give bars on standard error, if they can be seen there."""
    console = Console(stderr=True)
    return partial(Progress, console=console) if shows_bars(console) else None


def shows_bars(console: Console) -> bool:
    """Tell whether someone watches a terminal, or a notebook that has the widgets for a bar."""
    return importlib.util.find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal


def _lines(meter: "_Meter", say: Callable[[str], object]) -> types.Progress:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        meter.report(done, total)
        if done < total and time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        say(", ".join([f"scored {done:,} of {total:,} training triples", *meter.words()]))

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
