"""Scores batches in smaller pieces after a GPU ran out of memory."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import MemoryLimitError
from tracin_dask.influence.engine import BatchScores

logger = logging.getLogger(__name__)

Score = Callable[[Int[ndarray, "batch 3"]], Iterable[BatchScores]]
"""Gives the influences of the rows of a batch, in one or several parts."""
SMALLEST_PIECE = 16


class InPieces:
    """Scores a batch whole, or in halves, quarters, ... after each time that memory ran out.

    The grid of batches does not change.
    """

    def __init__(self, score: Score) -> None:
        """Start with whole batches."""
        self._score = score
        self._pieces = 1
        self.halvings = 0
        """Number of times that pieces were halved."""

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch.

        Raises
        ------
        MemoryLimitError
            If not even a small piece fits.
        """
        at = 0
        while at < len(ids):
            step = math.ceil(len(ids) / self._pieces)
            try:
                scored = list(self._score(ids[at : at + step]))
            except torch.OutOfMemoryError as error:
                self._halve(step, error)
                continue
            for part in scored:
                yield replace(part, rows=part.rows + at)
            at += step

    def _halve(self, step: int, error: torch.OutOfMemoryError) -> None:
        if step <= SMALLEST_PIECE:
            raise MemoryLimitError(
                f"GPU out of memory even at {step} training triples per batch ({error}); "
                "give fewer test triples at a time, or --device cpu"
            ) from error
        if self.halvings == 0:
            logger.warning("GPU out of memory at %d training triples per batch: continuing with half of them", step)
        self._pieces *= 2
        self.halvings += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
