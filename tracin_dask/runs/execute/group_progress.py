"""Counts the rows of a run whose tasks report now and then, exactly: a group counts as what it is when it ends."""

import threading
import time
from collections.abc import Callable, Sequence

from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import OnRows

LEAST_SECONDS = 1.0
"""Time between two reports of a worker."""
MOST_REPORTS_PER_SECOND = 100
"""Of all workers; every one of them passes through the scheduler and wakes the client."""


class GroupProgress:
    """Passes on what tasks report of a group, and the rest of its rows once it is finished."""

    def __init__(self, groups: Sequence[Sequence[Rows]], on_rows: OnRows) -> None:
        """Start with nothing done."""
        self._left = {tasks[0][0]: tasks[-1][1] - tasks[0][0] for tasks in groups}
        self._on_rows = on_rows
        self._lock = threading.Lock()

    def add(self, group: int, rows: int) -> None:
        """Count rows of a group, named by its first row; what is scored twice does not count beyond its rows."""
        with self._lock:
            counted = min(rows, self._left.get(group, 0))
            if counted:
                self._left[group] -= counted
                self._on_rows(counted)

    def finish(self, group: int) -> None:
        """Count what was not reported of a group."""
        self.add(group, self._left[group])


class SeldomReport:
    """Adds up rows, and reports them once enough time has passed since the start or the last report."""

    def __init__(self, report: OnRows, every_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the time."""
        self._report, self._every_seconds, self._clock = report, every_seconds, clock
        self._rows, self._last = 0, clock()

    def __call__(self, rows: int) -> None:
        """Add rows; those that are never reported count when their group is finished."""
        self._rows += rows
        now = self._clock()
        if now - self._last >= self._every_seconds:
            self._report(self._rows)
            self._rows, self._last = 0, now


def seconds_between_reports(num_workers: int) -> float:
    """Let every worker of a few report once a second, and many no more often than the client can take in together."""
    return max(LEAST_SECONDS, num_workers / MOST_REPORTS_PER_SECOND)
