"""Columns: the gradients on the test side of every product, and how columns add up to answers.

An answer is a linear combination of gradients: of one test triple's loss; of a test triple less the one with another
tail; of a triple and corrupted ones; of the mean over a set of test triples. Training triples are scored against the
columns, and the columns' influences are added up to the influences on the answers. Weights are part of the columns.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.engine import Engine, Factors
from tracin_dask.influence.losses import AnyLoss, CorruptingLoss, NegatedScore, SeparableLoss, num_parts, reads
from tracin_dask.influence.losses.base import ALL_SCORES, CORRUPTED_TRIPLES, is_separable
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
        """Count the columns of one test triple."""
        return (num_parts(loss) if self.explain == "loss" else 1) * (2 if self.is_contrast else 1)

    def reads_all_scores(self, loss: AnyLoss) -> bool:
        """Tell whether columns are gradients at the scores of all entities, and not at single scores."""
        if self.explain == "score" or reads(loss) != ALL_SCORES:
            return False
        return not (self.is_contrast and is_separable(loss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a run explains: test triples, each one answer or several of them together."""

    triples: Int[ndarray, "test 3"]
    contrast_tails: Int[ndarray, " test"] | None = None
    """The tail that each is held against, where the question is a contrast."""
    answers: Int[ndarray, " test"] | None = None
    """The answer that each test triple belongs to, numbered from 0; None where each is an answer of its own."""

    @property
    def num_answers(self) -> int:
        """Count the answers."""
        return len(self.triples) if self.answers is None else int(self.answers.max()) + 1

    def take(self, start: int, stop: int) -> "Targets":
        """Take some answers, with all of their test triples."""
        of_answer = np.arange(len(self.triples)) if self.answers is None else self.answers
        rows = np.flatnonzero((of_answer >= start) & (of_answer < stop))
        return Targets(
            triples=self.triples[rows],
            contrast_tails=None if self.contrast_tails is None else self.contrast_tails[rows],
            answers=None if self.answers is None else self.answers[rows] - start,
        )

    @property
    def identity(self) -> str:
        """A digest, for telling runs apart."""
        digest = hashlib.sha256(self.triples.tobytes())
        for more in (self.contrast_tails, self.answers):
            digest.update(b"none" if more is None else more.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One column of each test triple: the gradient of a loss at some triples, times a weight."""

    triples: Int[ndarray, "test 3"]
    loss: AnyLoss
    weight: float | Float[ndarray, " test"]


@runtime_checkable
class Answers(Protocol):
    """How the influences on columns add up to the influences on answers."""

    def add_up(self, influences: Float[Tensor, "row column"]) -> Float[Tensor, "row answer"]:
        """Add the columns of every answer up."""
        ...

    def of_columns(self, values: Float[Tensor, " answer"], num_columns: int) -> Float[Tensor, " column"]:
        """Give every column the value of its answer."""
        ...

    def on(self, device: torch.device) -> "Answers":
        """Bring what adds up to the device of the influences, once for all batches."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EachItsOwn:
    """Blocks of columns, each with one column of every answer, in the same order."""

    num_answers: int

    def add_up(self, influences: Float[Tensor, "row column"]) -> Float[Tensor, "row answer"]:
        """Add the columns of every answer up; a single block stays as it is."""
        if influences.shape[1] == self.num_answers:
            return influences
        return influences.reshape(len(influences), -1, self.num_answers).sum(dim=1)

    def of_columns(self, values: Float[Tensor, " answer"], num_columns: int) -> Float[Tensor, " column"]:
        """Give every column the value of its answer."""
        return values.repeat(num_columns // max(1, self.num_answers))

    def on(self, device: torch.device) -> "EachItsOwn":  # noqa: ARG002 - nothing lies on one
        """Give the same answers."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Columns that belong to answers in any number."""

    answer_of_column: Int[Tensor, " column"]
    num_answers: int

    def add_up(self, influences: Float[Tensor, "row column"]) -> Float[Tensor, "row answer"]:
        """Add the columns of every answer up, in their order."""
        total = influences.new_zeros(len(influences), self.num_answers)
        return total.index_add_(1, self.answer_of_column, influences)

    def of_columns(self, values: Float[Tensor, " answer"], num_columns: int) -> Float[Tensor, " column"]:  # noqa: ARG002 - one for each it knows
        """Give every column the value of its answer."""
        return values[self.answer_of_column]

    def on(self, device: torch.device) -> "Together":
        """Move the numbers of the answers to a device."""
        return replace(self, answer_of_column=self.answer_of_column.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The gradients on the test side, in blocks, and how they add up to answers."""

    blocks: tuple[Block, ...]
    answers: Answers


def columns_of(question: Question, loss: AnyLoss, test: Targets, num_entities: int) -> Columns:
    """Give the columns of the test triples for a question.

    Several test triples of one answer each count 1 / n of the n: the answer is their mean.
    """
    blocks = tuple(_blocks(question, loss, test, num_entities))
    if test.answers is None:
        return Columns(blocks=blocks, answers=answers_of(test, len(blocks)))
    share = 1 / np.bincount(test.answers)[test.answers]
    return Columns(
        blocks=tuple(replace(block, weight=block.weight * share) for block in blocks),
        answers=answers_of(test, len(blocks)),
    )


def answers_of(test: Targets, num_blocks: int) -> Answers:
    """Say how so many blocks of columns of test triples add up to answers."""
    if test.answers is None:
        return EachItsOwn(num_answers=len(test.triples))
    of_column = torch.from_numpy(np.tile(test.answers, num_blocks))
    return Together(answer_of_column=of_column, num_answers=test.num_answers)


def prepare_question(engine: Engine, question: Question, test: Targets, *, batch_size: int) -> Factors:
    """Compute the gradients of all columns of a question; raises as `prepare_columns`."""
    return prepare_columns(engine, columns_of(question, engine.loss, test, engine.num_entities), batch_size=batch_size)


def prepare_columns(engine: Engine, columns: Columns, *, batch_size: int) -> Factors:
    """Compute the gradients of all columns, one block after the other.

    Raises
    ------
    NonFiniteError
        If a factor is NaN or infinite; the triple is named.
    """
    prepared = []
    for block in columns.blocks:
        factors = engine.with_loss(block.loss).prepare(torch.from_numpy(block.triples), batch_size=batch_size)
        weight = torch.as_tensor(block.weight, dtype=factors.scale.dtype, device=factors.scale.device)
        prepared.append(replace(factors, scale=weight * factors.scale))
    return concatenate(prepared)


def _blocks(question: Question, loss: AnyLoss, test: Targets, num_entities: int) -> Iterator[Block]:
    sides = [(test.triples, 1.0)]
    if question.is_contrast:
        assert test.contrast_tails is not None  # noqa: S101 - belongs to the question
        sides.append((np.column_stack([test.triples[:, :2], test.contrast_tails]), -1.0))
    for triples, sign in sides:
        yield from _of_one_side(question, loss, triples, num_entities, sign)


def _of_one_side(
    question: Question, loss: AnyLoss, triples: Int[ndarray, "test 3"], num_entities: int, sign: float
) -> Iterator[Block]:
    if question.explain == "score":
        yield Block(triples=triples, loss=NegatedScore(), weight=sign)
    elif question.is_contrast and reads(loss) == ALL_SCORES and is_separable(loss):
        # the other entities' parts are the same for both tails: what is left is the difference of two scores
        by = cast(SeparableLoss, loss).lower_at_tail(num_entities)
        yield Block(triples=triples, loss=NegatedScore(weight=by), weight=sign)
    elif reads(loss) == CORRUPTED_TRIPLES:
        for part in cast(CorruptingLoss, loss).parts(triples, num_entities):
            yield Block(triples=part.triples, loss=part.loss, weight=sign)
    else:
        yield Block(triples=triples, loss=loss, weight=sign)
