"""Squared lengths of gradients that are sums over several triples: of triples and those corrupted, of two tails.

One triple has few gradients: their inner products with each other are a small matrix per triple, term by term, and the
square is the sum of its entries times both derivatives, Σ_kl δ_k δ_l ⟨∇score_k, P ∇score_l⟩; lengths are those that a
preconditioner P, if there is one, gives to gradients.

Squares are numbers of float64: those of short gradients are beyond float32. Where gradients almost cancel, so does that
sum. It is made anew in float64 there: its rounding errors are then below those of the gradients themselves. Sums over
sets of test triples are scored instead, which cannot be made anew: they count as 0 where they are rounding errors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence import devices
from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Block, Columns, Question, Targets, columns_of, prepare_columns
from tracin_dask.influence.engine import Engine, Indexed
from tracin_dask.influence.finite import refuse_non_finite, refuse_non_finite_squares
from tracin_dask.influence.grouped import Squares, squares_of_groups
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import Loss, derivative, reads
from tracin_dask.influence.losses.base import CORRUPTED_TRIPLES
from tracin_dask.influence.losses.by_row import LossByRow, losses_of_parts
from tracin_dask.influence.scoring import AnswerScorer
from tracin_dask.influence.tensors import concatenate

CANCELS = 0.03
"""Sums whose square is less than this part of the squares of what they add are made anew in float64."""
CANCELLED = 3e4
"""In units of rounding: what is left of a sum with less than this part of what it adds is rounding errors."""


FEW = 256
"""Gradients of test triples, or of sums that are made anew, that are held at a time: no memory is planned for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """The gradients of some sums, each at a single score."""

    triples: Indexed
    loss: LossByRow
    """Of the scores, sum by sum."""
    weight: Float[ndarray, "sum gradient"] | None
    """None where all are 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaresIndex:
    """Training triples whose gradients meet themselves: one gradient of each, or those of the parts of a loss."""

    ids: Int[ndarray, "batch 3"]
    own: Indexed | None
    """All triples, where each has one gradient."""
    blocks: tuple[Block, ...]
    """The parts of the loss, else."""
    pieces: tuple[_Groups, ...]
    """The triples of all parts, some rows at a time."""

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.ids)


def index_squares(engine: Engine, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> SquaresIndex:
    """Find out all that ids say of the gradients of training triples, in any thread; the same for all checkpoints."""
    if reads(engine.loss) != CORRUPTED_TRIPLES:
        return SquaresIndex(ids=ids, own=engine.index_own(ids, arrays), blocks=(), pieces=())
    blocks = columns_of(Question(), engine.loss, Targets(triples=ids), engine.num_entities).blocks
    pieces = _index_sums(engine, blocks, np.arange(len(ids)), engine.gradients_at_a_time, arrays)
    return SquaresIndex(ids=ids, own=None, blocks=blocks, pieces=pieces)


def self_squares(engine: Engine, indexed: SquaresIndex) -> Squares:
    """Compute learning_rate · ‖∇loss_i‖² for every training triple i, under any loss.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named.
    """
    if indexed.own is not None:
        return Squares(whole=engine.own_squares(indexed.own))
    return _of_blocks(engine, indexed.blocks, indexed.pieces, indexed.ids, "training")


def self_influence(engine: Engine, indexed: SquaresIndex) -> Float[Tensor, " batch"]:
    """Compute the same as numbers of the model's type; raises as `self_squares`, and where one is beyond that type."""
    found = self_squares(engine, indexed).whole.to(engine.model.dtype)
    refuse_non_finite_squares(indexed.ids, found, what="training")
    return found


def squared_lengths(engine: Engine, question: Question, test: Targets) -> Squares:
    """Compute learning_rate · ‖∇a‖² of every answer a: the square of the sum of its columns.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the test triple is named.
    """
    if test.answers is not None:
        return _of_answers(engine, question, test)
    number = question.num_gradients(engine.loss)
    if number == 1:
        (block,) = columns_of(question, engine.loss, test, engine.num_entities).blocks
        own = engine.with_loss(block.loss).self_influence(torch.from_numpy(block.triples), what="test")
        return Squares(whole=own)
    if question.reads_all_scores(engine.loss):
        return concatenate([_of_answers(engine, question, one) for one in _one_answer_each(test)])
    blocks = columns_of(question, engine.loss, test, engine.num_entities).blocks
    every, arrays = np.arange(len(test.triples)), IndexArrays(engine.model.device)
    pieces = _index_sums(engine, blocks, every, _few(engine), arrays)
    return _of_blocks(engine, blocks, pieces, test.triples, "test")


def _of_blocks(
    engine: Engine, blocks: Sequence[Block], pieces: Sequence[_Groups], ids: Int[ndarray, "triple 3"], what: str
) -> Squares:
    """Square the sums of the columns of some triples, those that almost cancel in float64.

    On a device that the host would wait for, all of them are.
    """
    device, dtype = engine.model.device, engine.model.dtype
    dtype = torch.float64 if devices.computes_ahead(device) else dtype
    found = _of_sums(engine, pieces, dtype)
    refuse_non_finite_squares(ids, found.whole, what=what)
    if dtype != torch.float64:
        rows = _below(found, CANCELS).nonzero()[:, 0]
        if len(rows):
            again = _index_sums(engine, blocks, rows.numpy(), _few(engine) // 2, IndexArrays(device))
            found.whole.index_copy_(0, rows, _of_sums(engine, again, torch.float64).whole)
    return found


def _few(engine: Engine) -> int:
    return min(engine.gradients_at_a_time, FEW)


def _below(found: Squares, share: float) -> Bool[Tensor, " sum"]:
    """Tell which sums are shorter than a share of what they add, all squared."""
    assert found.parts is not None  # noqa: S101 - sums of several gradients
    return found.whole < share * found.parts


def _index_sums(
    engine: Engine, blocks: Sequence[Block], rows: Int[ndarray, " row"], most: int, arrays: IndexArrays
) -> tuple[_Groups, ...]:
    """Bring the columns of some triples together, so many at a time, each a gradient at a single score."""
    step = max(1, most // len(blocks))
    return tuple(
        _index_groups(engine, blocks, rows[at : at + step], arrays) for at in range(0, max(1, len(rows)), step)
    )


def _index_groups(engine: Engine, blocks: Sequence[Block], rows: Int[ndarray, " row"], arrays: IndexArrays) -> _Groups:
    triples = np.stack([block.triples[rows] for block in blocks], axis=1)
    weight = np.stack([np.broadcast_to(block.weight, len(block.triples))[rows] for block in blocks], axis=1)
    part = np.tile(np.arange(len(blocks)), len(rows))
    return _Groups(
        triples=engine.index_within(triples, arrays),
        loss=losses_of_parts([cast(Loss, block.loss) for block in blocks], part, arrays),
        weight=None if (weight == 1).all() else weight,
    )


def _of_sums(engine: Engine, pieces: Sequence[_Groups], dtype: torch.dtype) -> Squares:
    """Square the sums of the columns of some triples, with products in a type."""
    found = [_of_groups(engine, piece, dtype) for piece in pieces]
    return found[0] if len(found) == 1 else concatenate(found)


def _of_groups(engine: Engine, groups: _Groups, dtype: torch.dtype) -> Squares:
    own, products = engine.products_within(groups.triples, dtype)
    derivatives = derivative(groups.loss, own.flatten()).view(own.shape)
    if groups.weight is not None:
        derivatives *= torch.from_numpy(groups.weight).to(derivatives)
    return squares_of_groups(derivatives, products, engine.learning_rate)


def _one_answer_each(test: Targets) -> Iterator[Targets]:
    """Take test triples one by one, each as a set of one."""
    for row in range(len(test.triples)):
        yield replace(test.take(row, row + 1), answers=np.zeros(1, dtype=np.int64))


def _of_answers(engine: Engine, question: Question, test: Targets) -> Squares:
    """Score the columns of every answer against the answers: ‖Σ_k ∇_k‖² = Σ_k ⟨∇_k, Σ_l ∇_l⟩."""
    assert test.answers is not None  # noqa: S101 - sets of test triples
    columns = columns_of(question, engine.loss, test, engine.num_entities)
    step = _few(engine)
    factors = prepare_columns(engine, columns, batch_size=step)
    total = factors.scale.new_zeros(test.num_answers)
    for block in columns.blocks:
        scorer = AnswerScorer(engine.with_loss(block.loss).scorer(factors), columns.answers.on(total.device))
        weight = np.broadcast_to(block.weight, len(block.triples))
        for start in range(0, len(block.triples), step):
            some = slice(start, start + step)
            answer = send(test.answers[some], total.device)
            indexed = scorer.index(block.triples[some], IndexArrays(total.device))
            own = scorer.whole(indexed).influences.gather(1, answer[:, None])[:, 0]
            own *= torch.as_tensor(weight[some].copy(), dtype=total.dtype, device=total.device)
            total.index_add_(0, answer, own)
    first = np.unique(test.answers, return_index=True)[1]  # the test triple that stands for its set in an error
    refuse_non_finite(test.triples[first], total[:, None], what="test")
    found = Squares(whole=total.double(), parts=_parts(engine, columns, test))
    found.whole.masked_fill_(_below(found, CANCELLED * torch.finfo(total.dtype).eps), 0)
    return found


def _parts(engine: Engine, columns: Columns, test: Targets) -> Float[Tensor, " answer"]:
    """Add up the squared lengths of the columns of every answer."""
    assert test.answers is not None  # noqa: S101 - sets of test triples
    total = torch.zeros(test.num_answers, dtype=torch.float64, device=engine.model.device)
    for block in columns.blocks:
        own = engine.with_loss(block.loss).self_influence(torch.from_numpy(block.triples), what="test")
        weight = torch.as_tensor(np.broadcast_to(block.weight, len(own)).copy(), device=own.device).double()
        total.index_add_(0, send(test.answers, own.device), own * weight.square())
    return total
