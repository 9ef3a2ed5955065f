"""The progress of a run: a bar on a terminal or in a notebook, a line every so often in a log."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tracin_dask import types

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
    if bars is None:
        yield _lines(_Meter(is_resumed=is_resumed), say)
        return
    columns = (
        TextColumn("scoring"),
        BarColumn(bar_width=_BAR_WIDTH),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} triples/s"),
        TimeRemainingColumn(),
    )
    with bars(*columns) as progress:
        bar = progress.add_task("scoring", total=None, rate=0.0)
        meter = _Meter(is_resumed=is_resumed)

        def report(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, rate=meter.rate(done))

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
        rate = meter.rate(done)
        if done < total and time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        speed = f", {rate:,.0f}/s" if rate > 0 else ""
        left = f", {(total - done) / rate:,.0f} s left" if rate > 0 and done < total else ""
        say(f"scored {done:,} of {total:,} training triples{speed}{left}")

    return report


class _Meter:
    """Measures the speed of this run alone: what a resumed run reports first was done by an earlier one."""

    def __init__(self, *, is_resumed: bool) -> None:
        self._started, self._before = time.monotonic(), None if is_resumed else 0

    def rate(self, done: int) -> float:
        now = time.monotonic()
        if self._before is None:
            self._started, self._before = now, done
        seconds = now - self._started
        return (done - self._before) / seconds if seconds > 0 else 0.0
