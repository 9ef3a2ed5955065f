"""A progress bar for each stage of a long command."""

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tracin_dask.cli.terminal import bars

Report = Callable[[str, int, int], None]
"""Called with a stage's name, what is done of it, and all of it."""


def byte_progress() -> contextlib.AbstractContextManager[Report]:
    """Show a bar with bytes and time left for each stage that is reported; nothing where no one watches."""
    return stage_progress(DownloadColumn(), TimeElapsedColumn(), TimeRemainingColumn())


@contextlib.contextmanager
def stage_progress(*further: ProgressColumn) -> Iterator[Report]:
    """Show a bar with further columns for each stage that is reported; nothing where no one watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), *further)
    with bars(*columns) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage)
            progress.update(tasks[stage], completed=done, total=total)

        yield report
