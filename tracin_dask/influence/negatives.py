"""Scoring where a loss has corrupted triples beside the training triple: the sum of plain scores of all of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.autograd.engine import GradientEngine, GradientFactors
from tracin_dask.influence.autograd.scorer import GradientScorer
from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Engine, Factors
from tracin_dask.influence.conve.engine import TestFactors
from tracin_dask.influence.conve.scorer import Scorer, Scores
from tracin_dask.influence.losses import SLCWA

OwnScorer: TypeAlias = Scorer | GradientScorer
"""What scores the triples of a batch as they are."""


def own_scorer(engine: Engine, test: Factors, num_tests: int | None = None) -> OwnScorer:
    """Give what scores triples as they are, by the engine."""
    if isinstance(engine, GradientEngine):
        assert isinstance(test, GradientFactors)  # noqa: S101 - prepared by such an engine
        return GradientScorer(engine, test, num_tests)
    assert isinstance(test, TestFactors)  # noqa: S101 - as above
    return Scorer(engine, test, num_tests)


class ScorerWithNegatives:
    """Scores training triples and their corrupted triples; both use one layout of the test triples' side."""

    def __init__(self, engine: Engine, test: Factors, num_tests: int | None = None) -> None:
        """Take the test triples' factors from any device; the engine's loss is `SLCWA`."""
        assert isinstance(engine.loss, SLCWA)  # noqa: S101 - chosen by `make_scorer`
        self._loss, self._num_entities = engine.loss, engine.model.config.num_entities
        self._positive = own_scorer(replace(engine, loss=self._loss.part(is_positive=True)), test, num_tests)
        self._negative = self._positive.with_loss(self._loss.part(is_positive=False))

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self._positive)

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[Scores]:
        """Score a batch; corrupted triples are sorted, so that equal (head, relation) share their forward pass."""
        total = self._positive.whole(ids)
        for corrupted in self._loss.corrupted(ids, self._num_entities):
            order = np.lexsort(corrupted.T[::-1])
            for part in self._negative.parts(corrupted[order]):
                total.index_add_(0, send(order[part.rows], total.device), part.influences)
        yield Scores(rows=np.arange(len(ids)), influences=total)


BatchScorer: TypeAlias = OwnScorer | ScorerWithNegatives


def make_scorer(engine: Engine, test: Factors, num_tests: int | None = None) -> BatchScorer:
    """Choose what scores under the engine's loss."""
    scorer = ScorerWithNegatives if isinstance(engine.loss, SLCWA) else own_scorer
    return scorer(engine, test, num_tests)
