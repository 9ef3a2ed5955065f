"""Numbers as a page writes them: plain decimals of one unit per list."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, isfinite, log10

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DIGITS = 4
"""Digits that the largest number of a list shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The unit of a list of numbers, and how many decimals its numbers show."""

    exponent: int = 0
    decimals: int = DIGITS - 1

    @classmethod
    def of(cls, values: Iterable[float]) -> "Scale":
        """Choose the unit by the largest number: 1, or a power of 1000 where that is very small or large."""
        largest = max((abs(value) for value in values if isfinite(value)), default=0.0)
        if largest == 0:
            return cls()
        power = floor(log10(largest))
        exponent = 0 if -3 <= power < 6 else power // 3 * 3
        return cls(exponent=exponent, decimals=max(0, DIGITS - 1 - (power - exponent)))

    @property
    def unit(self) -> str:
        """Write the unit: empty for 1, else ×10⁻⁶ or the like."""
        return f"×10{str(self.exponent).translate(_SUPERSCRIPTS)}" if self.exponent else ""

    def signed(self, value: float) -> str:
        """Write a number with its sign."""
        return self._write(value, "+")

    def plain(self, value: float) -> str:
        """Write a number with a sign only if it is negative."""
        return self._write(value, "")

    def _write(self, value: float, sign: str) -> str:
        if not isfinite(value):
            return "not finite"
        if value == 0:
            return "0"
        return minus(f"{value / 10.0**self.exponent:{sign},.{self.decimals}f}")


def minus(text: str) -> str:
    """Write the minus of a number as the sign that is as wide as a digit."""
    return text.replace("-", "\N{MINUS SIGN}")


def share(part: float, whole: float) -> str:
    """Write a part of a whole in percent."""
    return f"{100 * part / whole:.1f} %" if whole > 0 else ""


def percent(part: float, whole: float) -> float:
    """Give a part of a whole in percent, as the width of a bar."""
    return round(100 * min(1.0, abs(part) / whole), 1) if whole > 0 else 0.0
