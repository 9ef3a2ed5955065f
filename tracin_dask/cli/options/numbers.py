"""The types of options whose values are numbers: every one states what it allows, and refuses the rest in one line."""

import math
from typing import Any

import click

from tracin_dask.limits import short

MOST = 10**9
"""The largest whole number of any option that states no other: more than any graph has triples per batch."""


class WholeNumber(click.ParamType[int]):
    """A whole number within limits."""

    name = "integer"

    def __init__(self, least: int = 1, most: int = MOST, *, otherwise: str = "") -> None:
        """Take the smallest and the largest number, and what else the message names."""
        self._least, self._most, self._otherwise = least, most, otherwise

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        """Parse the text."""
        try:
            number = int(value)
        except ValueError:  # no number, or one of thousands of digits
            number = None
        if number is None or not self._least <= number <= self._most:
            limits = f"from {self._least} to {self._most:,}{self._otherwise}"
            self.fail(f"{short(value)} is not a whole number {limits}.", param, ctx)
        return number


class RealNumber(click.ParamType[float]):
    """A finite number above a limit, or from a limit on; optionally below another."""

    name = "float"

    def __init__(self, *, above: float | None = None, least: float = 0.0, below: float = math.inf) -> None:
        """Take the limits; with `above`, the limit itself is not allowed."""
        self._above, self._least, self._below = above, least, below

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's signature
        """Parse the text."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        is_large_enough = number >= self._least if self._above is None else number > self._above
        if not (is_large_enough and number < self._below):  # neither is so for NaN
            self.fail(f"{short(value)} is not {self._allowed()}.", param, ctx)
        return number

    def _allowed(self) -> str:
        first = f"a number from {self._least:g} on" if self._above is None else f"a finite number above {self._above:g}"
        return first if self._below == math.inf else f"{first} and below {self._below:g}"
