"""Scoring where a loss has corrupted triples beside the training triple: the sum of plain scores of all of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.engine import TestFactors
from tracin_dask.influence.gradient_engine import GradientEngine, GradientFactors
from tracin_dask.influence.gradient_scorer import GradientScorer
from tracin_dask.influence.losses import SLCWA, AnyLoss
from tracin_dask.influence.questions import Engine, Factors, Question, prepare_question
from tracin_dask.influence.scorer import Scorer, Scores

SELF_ROWS = 32
"""Triples whose gradients meet at a time for their influences on themselves: of all pairs only the diagonal is kept."""


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


def self_columns(loss: AnyLoss) -> int:
    """Count the gradients that are compared with each other for influences of triples on themselves; 0 if none are."""
    return SELF_ROWS * Question().num_gradients(loss) if isinstance(loss, SLCWA) else 0


def self_influence(engine: Engine, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    """Compute learning_rate · ‖∇loss_i‖² for every triple i, under any loss.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named.
    """
    if not isinstance(engine.loss, SLCWA):
        return engine.self_influence(triples)
    found = torch.empty(len(triples), dtype=engine.model.dtype, device=engine.model.device)
    for start in range(0, len(triples), SELF_ROWS):
        ids = triples[start : start + SELF_ROWS].numpy()
        test = prepare_question(engine, Question(), ids, batch_size=len(ids))
        for part in ScorerWithNegatives(engine, test, len(ids)).parts(ids):
            found[start : start + len(ids)] = part.influences.diagonal()
    return found
