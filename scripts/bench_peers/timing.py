"""How a scoring function is timed: warmed up, with as many rows as take a stated time, several runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from bench_peers.peer import Scorer

LARGEST_STEP = 8
"""By how much the rows may grow from one trial to the next: short trials say little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What is asked of a measurement.

    Attributes
    ----------
    threads
        CPU threads of torch and of the libraries below it.
    seconds
        What one run should take.
    repeats
        Timed runs.
    warm_up_rows
        Training triples of the first, untimed call.
    timeout_seconds
        The most that the measurement of one peer may take, from the start of its process.
    """

    threads: int = 2
    seconds: float = 5.0
    repeats: int = 3
    warm_up_rows: int = 16
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises
        ------
        ValueError
            If a value is not positive.
        """
        for name in ("threads", "seconds", "repeats", "warm_up_rows", "timeout_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Timed runs over the same rows."""

    rows: int
    seconds: Sequence[float]


def time_scorer(score: Scorer, train: Int[Tensor, "rows 3"], timing: Timing) -> Runs:
    """Warm up, choose the number of rows, and time the runs."""
    score(train[: timing.warm_up_rows])
    rows = choose_rows(score, train, timing)
    return Runs(rows=rows, seconds=[_seconds(score, train[:rows]) for _ in range(timing.repeats)])


def choose_rows(score: Scorer, train: Int[Tensor, "rows 3"], timing: Timing) -> int:
    """Find how many training triples take about `timing.seconds`; all of them if that is less.

    Trials grow until one takes half of that time, so that what every call costs whatever its rows counts as it should.
    """
    rows = min(timing.warm_up_rows, len(train))
    while True:
        seconds = _seconds(score, train[:rows])
        wanted = max(1, min(int(rows * timing.seconds / seconds), len(train)))
        if wanted <= rows or seconds >= timing.seconds / 2:
            return wanted
        rows = min(wanted, LARGEST_STEP * rows)


def _seconds(score: Scorer, rows: Int[Tensor, "rows 3"]) -> float:
    start = time.perf_counter()
    score(rows)
    return time.perf_counter() - start
