"""The progress of a study's trainings: a bar on a terminal, a line every so often in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from tracin_dask import types
from tracin_dask.cli.say import say
from tracin_dask.cli.terminal import bars, has_bars
from tracin_dask.monitor.progress_bar import LINE_SECONDS


@contextmanager
def study_progress() -> Iterator[types.Progress]:
    """Show how many models are trained and measured."""
    if not has_bars():
        yield _lines()
        return
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bars(*columns) as progress:
        bar = progress.add_task("training", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def _lines() -> types.Progress:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if done < total and time.monotonic() - last < LINE_SECONDS:
            return
        last = time.monotonic()
        say(f"trained {done:,} of {total:,} models", err=True)

    return report
