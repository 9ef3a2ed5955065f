"""Scores batches in pieces once a GPU's memory did not do for whole ones."""

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
"""From the ids of a batch to the influences of its rows, in one or several parts."""
SMALLEST_PIECE = 16


class InPieces:
    """Scores a batch whole, or in halves, quarters, ... since the last time that memory ran out.

    The grid of batches stays as it was planned.
    """

    def __init__(self, score: Score) -> None:
        """Start with whole batches."""
        self._score = score
        self._pieces = 1
        self.halvings = 0
        """How often pieces were halved."""

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
                f"the GPU's memory does not do for {step} training triples at a time ({error}); "
                "give fewer test triples at a time, or --device cpu"
            ) from error
        if self.halvings == 0:
            logger.warning("out of device memory with %d triples at a time: going on with half of them", step)
        self._pieces *= 2
        self.halvings += 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
