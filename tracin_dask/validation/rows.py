"""Which rows of a graph a training has, as small values: a subset is its seed, and never a stored mask."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.identity import Json, digest_of
from tracin_dask.validation.seeds import generator_for

STRATUM_ROWS = 65_536
"""A random subset has its share of every so many rows, so that any part of it can be drawn by itself."""


@runtime_checkable
class Rows(Protocol):
    """A choice of rows."""

    @property
    def identity(self) -> Json:
        """What tells this choice from others."""
        ...

    def select(self, num_rows: int) -> Int[ndarray, " chosen"]:
        """Give the chosen rows of a graph with so many, ascending."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AllRows:
    """Every row, but for those after `stop` where it is given."""

    stop: int | None = None

    @property
    def identity(self) -> Json:
        """What tells this choice from others."""
        return ["all", self.stop]

    def select(self, num_rows: int) -> Int[ndarray, " chosen"]:
        """Give them."""
        return np.arange(num_rows if self.stop is None else self.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSubset:
    """A random part of the rows, without repetition: the fraction of every stratum, rounded."""

    fraction: float
    seed: int

    @property
    def identity(self) -> Json:
        """What tells this choice from others."""
        return ["subset", self.fraction, self.seed]

    def select(self, num_rows: int) -> Int[ndarray, " chosen"]:
        """Draw all strata."""
        starts = range(0, num_rows, STRATUM_ROWS)
        parts = [start + np.flatnonzero(self.stratum(start // STRATUM_ROWS, num_rows)) for start in starts]
        return np.concatenate(parts)

    def stratum(self, index: int, num_rows: int) -> Bool[ndarray, " row"]:
        """Tell which rows of one stratum belong to the subset."""
        size = min(STRATUM_ROWS, num_rows - index * STRATUM_ROWS)
        is_chosen = np.zeros(size, dtype=bool)
        drawn = generator_for(self.seed, "rows", index).permutation(size)
        is_chosen[drawn[: round(self.fraction * size)]] = True
        return is_chosen


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangedRows:
    """The first `stop` rows (all where it is None) without some, and with some of the rows after them."""

    without: Int[ndarray, " without"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    extra: Int[ndarray, " extra"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    stop: int | None = None

    @property
    def identity(self) -> Json:
        """What tells this choice from others."""
        without, extra = (np.unique(rows).astype(np.int64) for rows in (self.without, self.extra))
        return ["changed", digest_of(without), digest_of(extra), self.stop]

    def select(self, num_rows: int) -> Int[ndarray, " chosen"]:
        """Give what is left, and what is added."""
        kept = np.setdiff1d(np.arange(num_rows if self.stop is None else self.stop), self.without)
        return np.union1d(kept, self.extra)
