"""How many training triples masks leave to be ranked, for every answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from torch import Tensor

from tracin_dask.identity import Json
from tracin_dask.influence.reductions.base import Arrays, Held, Needs, ScoredBatch, Sizes, Start

NAME = "num_ranked"
NumRanked = Int64[ndarray, " column"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumRankedReduction:
    """Counts the training triples that are ranked."""

    masks: Json
    """The identity of the masks."""

    @property
    def name(self) -> str:
        """The name of the outcome."""
        return NAME

    @property
    def identity(self) -> Json:
        """What the outcome depends on."""
        return self.masks

    @property
    def needs(self) -> Needs:
        """Only what is ranked."""
        return Needs(ranked=True)

    def held(self, sizes: Sizes) -> Held:
        """Count a number for each column."""
        number = 8 * sizes.num_columns
        return Held(stream=number, outcome=number, what="counts of ranked triples")

    def start(self, given: Start[NumRanked]) -> "NumRankedStream":
        """Start on the rows of a task."""
        return NumRankedStream(given.num_columns)

    def merge(self, outcomes: Sequence[NumRanked]) -> NumRanked:
        """Add up the counts of different rows."""
        total: NumRanked = np.sum(outcomes, axis=0)
        return total

    def pack(self, outcome: NumRanked) -> Arrays:
        """Give the counts."""
        return {"counts": outcome}

    def unpack(self, arrays: Arrays) -> NumRanked:
        """Take the counts."""
        return arrays["counts"]


class NumRankedStream:
    """Counts batch after batch; the device is not waited for."""

    def __init__(self, num_columns: int) -> None:
        """Start with no rows."""
        self._every = np.zeros(num_columns, np.int64)
        self._some: Tensor | None = None

    def add(self, batch: ScoredBatch) -> None:
        """Count the rows, or pairs, of a batch."""
        if batch.is_ranked is None:
            self._every += len(batch)
            return
        counted = batch.is_ranked.sum(dim=0)
        self._some = counted if self._some is None else self._some + counted

    def finish(self) -> NumRanked:
        """Give the counts."""
        return self._every if self._some is None else self._every + self._some.cpu().numpy()
