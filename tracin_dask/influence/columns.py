"""What is asked of test triples: why their loss, or score, is what it is; or why this tail and not another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.engine import Engine, Factors
from tracin_dask.influence.losses import SLCWA, AnyLoss, NegatedScore, OneToAll
from tracin_dask.influence.tensors import concatenate

Explain = Literal["loss", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the test side of every product is the gradient of.

    `explain` the loss, or the score with the opposite sign: either way a positive influence is for the prediction.
    With `is_contrast`, of a test triple less of the one with another tail: positive is for the test triple's tail, and
    against the other.
    """

    explain: Explain = "loss"
    is_contrast: bool = False

    def num_gradients(self, loss: AnyLoss) -> int:
        """Count the gradients that are added up for one test triple."""
        negatives = loss.num_negatives if isinstance(loss, SLCWA) and self.explain == "loss" else 0
        return (1 + negatives) * (2 if self.is_contrast else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A gradient of each test triple, that of a loss at a triple; all of them are added up with their signs."""

    triples: Int[ndarray, "test 3"]
    loss: AnyLoss
    sign: int


def prepare_question(
    engine: Engine,
    question: Question,
    test_triples: Int[ndarray, "test 3"],
    contrast_tails: Int[ndarray, " test"] | None = None,
    *,
    batch_size: int,
) -> Factors:
    """Compute the factors of all gradients that a question asks for: of all test triples, one kind after the other.

    Raises
    ------
    NonFiniteError
        If a factor is NaN or infinite; the triple is named.
    """
    prepared = []
    for asked in gradients_of(engine, question, test_triples, contrast_tails):
        factors = engine.with_loss(asked.loss).prepare(torch.from_numpy(asked.triples), batch_size=batch_size)
        prepared.append(replace(factors, scale=asked.sign * factors.scale))
    return concatenate(prepared)


def gradients_of(
    engine: Engine,
    question: Question,
    test_triples: Int[ndarray, "test 3"],
    contrast_tails: Int[ndarray, " test"] | None = None,
) -> Iterator[Asked]:
    """Give the gradients that a question asks for."""
    sides = [(test_triples, 1)]
    if question.is_contrast:
        assert contrast_tails is not None  # noqa: S101 - belongs to the question
        sides.append((np.column_stack([test_triples[:, :2], contrast_tails]), -1))
    for triples, sign in sides:
        yield from _of_one_side(engine.loss, question, triples, engine.num_entities, sign)


def _of_one_side(
    loss: AnyLoss, question: Question, triples: Int[ndarray, "test 3"], num_entities: int, sign: int
) -> Iterator[Asked]:
    """Give the gradients of triples that a question asks for."""
    if question.explain == "score":
        yield Asked(triples=triples, loss=NegatedScore(), sign=sign)
    elif question.is_contrast and isinstance(loss, OneToAll):
        # the other entities' parts are the same for both tails: what is left is the difference of two scores
        weight = loss.lower_at_tail(num_entities)
        yield Asked(triples=triples, loss=NegatedScore(weight=weight), sign=sign)
    elif isinstance(loss, SLCWA):
        yield Asked(triples=triples, loss=loss.part(is_positive=True), sign=sign)
        for corrupted in loss.corrupted(triples, num_entities):
            yield Asked(triples=corrupted, loss=loss.part(is_positive=False), sign=sign)
    else:
        yield Asked(triples=triples, loss=loss, sign=sign)
