"""How fast a run is, and how long it still takes: one estimate for the terminal and for the page on the dashboard."""

from collections import deque
from datetime import timedelta

RECENT_SECONDS = 30.0
"""The current speed is that of so many seconds."""
LEAST_SECONDS = 1.0
"""Time between two reports that are kept; less says little about the speed."""


class Pace:
    """Measures the speed of a run from the rows that are done at some times, in seconds of any one clock.

    It keeps the reports of the last half minute, and one older: a run that reports less often has a speed, too.
    """

    def __init__(self, total: int, done: int, now: float) -> None:
        """Start with the rows that an interrupted run recorded, if any: they say nothing about the speed."""
        self._total = total
        self._first = now, done
        self._reports = deque([self._first])

    def report(self, done: int, now: float) -> None:
        """Take in how many rows are done."""
        reports = self._reports
        if len(reports) > 1 and now - reports[-2][0] < LEAST_SECONDS:
            reports.pop()
        reports.append((now, done))
        while len(reports) > 2 and reports[1][0] <= now - RECENT_SECONDS:
            reports.popleft()

    def rate(self, now: float) -> float:
        """Give the current rows per second; 0 while nothing is known, as in the first second."""
        start = self._reports[0]
        return self._since(start, now) if now - start[0] >= LEAST_SECONDS else 0.0

    def mean_rate(self, now: float) -> float:
        """Give the rows per second of the whole run."""
        return self._since(self._first, now)

    def seconds_left(self, now: float) -> float | None:
        """Estimate the time until all rows are done; None while no speed is known."""
        rate, left = self.rate(now), self._total - self._reports[-1][1]
        return left / rate if rate > 0 else None

    def _since(self, start: tuple[float, int], now: float) -> float:
        seconds = now - start[0]
        return max(self._reports[-1][1] - start[1], 0) / seconds if seconds > 0 else 0.0


def clock_time(seconds: float) -> str:
    """Write a duration, as 0:02:40."""
    return str(timedelta(seconds=round(seconds)))


def left_words(seconds: float | None) -> str:
    """Say how long a run still takes."""
    return "time left not known yet" if seconds is None else f"{clock_time(seconds)} left"
