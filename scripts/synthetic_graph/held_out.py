"""Triples of the test relation that are kept out of the training set: a sample drawn in one pass over all rows."""

import numpy as np
from numpy.typing import NDArray

from tracin_dask.errors import ConfigError


class HeldOut:
    """Keeps the rows with the smallest random numbers, so that all rows have the same chance (a reservoir)."""

    def __init__(self, number: int) -> None:
        """Start with nothing; at most `number` rows are kept."""
        self._number = number
        self._rows = np.empty((0, 3), dtype=np.int32)
        self._lots = np.empty(0)

    def offer(self, rows: NDArray[np.int32], random: np.random.Generator) -> NDArray[np.int32]:
        """Take some of these rows; return the ones that are left or given up for them."""
        rows = np.concatenate([self._rows, rows])
        lots = np.concatenate([self._lots, random.random(len(rows) - len(self._rows))])
        order = np.argsort(lots, kind="stable")
        kept, left = order[: self._number], order[self._number :]
        self._rows, self._lots = rows[kept], lots[kept]
        return rows[left]

    def rows(self) -> NDArray[np.int32]:
        """Return the rows kept, in random order.

        Raises
        ------
        ConfigError
            If fewer were offered than are wanted.
        """
        if len(self._rows) < self._number:
            raise ConfigError(
                f"{self._number:,} test and validation triples of the relation treats are asked for, but only "
                f"{len(self._rows):,} can be held out without taking a drug's last one; ask for fewer, or for more "
                "triples or fewer relations"
            )
        return self._rows
