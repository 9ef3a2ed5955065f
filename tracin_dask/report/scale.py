"""Numbers of a table as plain decimals of a common scale, so that they can be compared at a glance."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_DIGITS = 3
"""Further digits of the largest number, behind its first."""
_SMALLEST, _LARGEST = -2, 5
"""Powers of ten of largest numbers that are written without a factor."""
_MORE_DECIMALS = 2
"""At most so many more decimals are shown for the sake of the smallest number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How the numbers of a table are written: divided by a power of ten, with a number of decimals."""

    exponent: int
    decimals: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Scale":
        """Choose the scale for some numbers."""
        sizes = [abs(value) for value in values if value and math.isfinite(value)]
        if not sizes:
            return cls(exponent=0, decimals=_DIGITS)
        largest, smallest = (math.floor(math.log10(size)) for size in (max(sizes), min(sizes)))
        exponent = 0 if _SMALLEST <= largest <= _LARGEST else largest
        least = max(0, _DIGITS - (largest - exponent))
        return cls(exponent=exponent, decimals=min(max(least, 1 - (smallest - exponent)), least + _MORE_DECIMALS))

    def heading(self, name: str) -> str:
        """Head a column, with the factor of its numbers if there is one."""
        return f"{name}\n× 1e{self.exponent:+03d}" if self.exponent else name

    def signed(self, value: float) -> str:
        """Write a number with its sign; zero is 0."""
        return self._written(value, "+") if value else "0"

    def unsigned(self, value: float) -> str:
        """Write a number without a plus sign; zero is 0."""
        return self._written(value, "") if value else "0"

    def _written(self, value: float, sign: str) -> str:
        return f"{value / 10.0**self.exponent:{sign},.{self.decimals}f}"
