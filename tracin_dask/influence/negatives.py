"""Scoring where a loss has corrupted triples beside the training triple: the sum of plain scores of all of them."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.batch import send
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, Factors
from tracin_dask.influence.losses import SLCWA


class ScorerWithNegatives:
    """Scores training triples and their corrupted triples; both use one layout of the test triples' side."""

    def __init__(self, engine: Engine, test: Factors, num_tests: int | None = None) -> None:
        """Take the test triples' factors from any device; the engine's loss is `SLCWA`."""
        assert isinstance(engine.loss, SLCWA)  # noqa: S101 - chosen by `make_scorer`
        self._loss, self._num_entities = engine.loss, engine.num_entities
        self._positive = engine.with_loss(self._loss.part(is_positive=True)).scorer(test, num_tests)
        self._negative = self._positive.with_loss(self._loss.part(is_positive=False))

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self._positive)

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch; corrupted triples are sorted, so that equal (head, relation) share their forward pass."""
        total = self._positive.whole(ids)
        for corrupted in self._loss.corrupted(ids, self._num_entities):
            order = np.lexsort(corrupted.T[::-1])
            for part in self._negative.parts(corrupted[order]):
                total.index_add_(0, send(order[part.rows], total.device), part.influences)
        yield BatchScores(rows=np.arange(len(ids)), influences=total)


def make_scorer(engine: Engine, test: Factors, num_tests: int | None = None) -> BatchScorer:
    """Choose what scores under the engine's loss."""
    if isinstance(engine.loss, SLCWA):
        return ScorerWithNegatives(engine, test, num_tests)
    return engine.scorer(test, num_tests)
