"""Scores batches in smaller pieces after a GPU ran out of memory."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import MemoryLimitError
from tracin_dask.influence.engine import BatchScorer, BatchScores, Indexed
from tracin_dask.influence.index_arrays import IndexArrays

logger = logging.getLogger(__name__)

SMALLEST_PIECE = 16
Beside = Callable[[slice, IndexArrays], None]
"""Adds index arrays of some rows of a batch to those that a scorer needs of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """A batch that is indexed, in pieces."""

    ids: Int[ndarray, "batch 3"]
    rows: int
    """Of a piece."""
    indexed: Mapping[int, Indexed]
    """The pieces, by their first rows."""


class InPieces:
    """Scores a batch whole, or in halves, quarters, ... after each time that memory ran out.

    The grid of batches does not change.
    """

    def __init__(self, scorer: BatchScorer, device: torch.device) -> None:
        """Start with whole batches; takes what scores them, and where."""
        self._scorer, self._device = scorer, device
        self._pieces = 1
        self.halvings = 0
        """Number of times that pieces were halved."""

    @property
    def device(self) -> torch.device:
        """Where batches are scored."""
        return self._device

    def index(self, ids: Int[ndarray, "batch 3"], beside: Beside | None = None) -> Pieces:
        """Find out all that the ids of a batch say, in any thread, and pack it for the way to the device.

        What is added `beside` it, piece by piece, takes the same way.
        """
        return self._index(ids, 0, beside)

    def parts_ahead(self, batch: Pieces) -> Iterator[BatchScores]:
        """Score a batch that is indexed; pieces that have become too large are indexed again.

        Raises
        ------
        MemoryLimitError
            If not even a small piece fits.
        """
        at, ids = 0, batch.ids
        while at < len(ids):
            rows = self._rows(len(ids))
            if rows != batch.rows:
                batch = self._index(ids, at)
            try:
                scored = list(self._scorer.parts(batch.indexed[at]))
            except torch.OutOfMemoryError as error:
                self._halve(rows, error)
                continue
            for part in scored:
                place = None if part.place is None else part.place + at
                yield replace(part, rows=part.rows + at, place=place) if at else part
            at += rows

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Index a batch and score it at once; raises as `parts_ahead`."""
        return self.parts_ahead(self.index(ids))

    def _rows(self, length: int) -> int:
        return math.ceil(length / self._pieces)

    def _index(self, ids: Int[ndarray, "batch 3"], start: int, beside: Beside | None = None) -> Pieces:
        """Index the pieces of a batch from one of them on."""
        rows, arrays = self._rows(len(ids)), IndexArrays(self._device)
        starts = range(start, len(ids), max(1, rows))
        indexed = {at: self._scorer.index(ids[at : at + rows], arrays) for at in starts}
        if beside is not None:
            for at in starts:
                beside(slice(at, at + rows), arrays)
        arrays.pack()
        return Pieces(ids=ids, rows=rows, indexed=indexed)

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
