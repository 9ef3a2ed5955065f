"""One number of independent studies with other seeds, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path

import pyarrow.parquet as pq

Key = tuple[str, str, str]
"""Method, condition and measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """The mean of several studies.

    The studies are independent, so that the distances to the ends of their intervals add up as those of errors do.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write it as in the tables."""
        value, low, high = (round(number, 2) + 0.0 for number in (self.value, self.low, self.high))  # no -0.00
        return f"{value:.2f} ({low:.2f} to {high:.2f})"


def combined(folders: Sequence[Path]) -> Mapping[Key, Combined]:
    """Read the tables of finished studies, and give the mean of each number that all of them have."""
    tables = [{_key(row): row for row in pq.read_table(folder / "table.parquet").to_pylist()} for folder in folders]
    return {key: _mean([table[key] for table in tables]) for key in tables[0] if all(key in table for table in tables)}


def _key(row: Mapping[str, str]) -> Key:
    return row["method"], row["condition"], row["measure"]


def _mean(rows: Sequence[Mapping[str, float]]) -> Combined:
    number = len(rows)
    value = sum(row["value"] for row in rows) / number
    below, above = (hypot(*(row[end] - row["value"] for row in rows)) / number for end in ("low", "high"))
    return Combined(value=value, low=value - below, high=value + above)
