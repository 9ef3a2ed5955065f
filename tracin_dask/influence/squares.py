"""Squared lengths of gradients that are sums over several triples: of triples and those corrupted, of two tails.

One triple has few gradients: their inner products with each other are a small matrix per triple, term by term, and the
square is the sum of its entries times both derivatives, Σ_kl δ_k δ_l ⟨∇score_k, P ∇score_l⟩; lengths are those that a
preconditioner P, if there is one, gives to gradients.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Block, Question, Targets, columns_of, prepare_columns
from tracin_dask.influence.engine import Engine
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.losses import derivative
from tracin_dask.influence.scoring import AnswerScorer


def self_influence(engine: Engine, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
    """Compute learning_rate · ‖∇loss_i‖² for every triple i, under any loss.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named.
    """
    return squared_lengths(engine, Question(), Targets(triples=triples.numpy()), what="training")


def squared_lengths(
    engine: Engine, question: Question, test: Targets, *, what: str = "test"
) -> Float[Tensor, " answer"]:
    """Compute learning_rate · ‖∇a‖² of every answer a: the square of the sum of its columns.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named, and `what` it is for.
    """
    if test.answers is not None:
        return _of_answers(engine, question, test, what)
    number = question.num_gradients(engine.loss)
    if number == 1:
        (block,) = columns_of(question, engine.loss, test, engine.num_entities).blocks
        return engine.with_loss(block.loss).self_influence(torch.from_numpy(block.triples), what=what)
    if question.reads_all_scores(engine.loss):
        return torch.cat([_of_answers(engine, question, one, what) for one in _one_answer_each(test)])
    found = [torch.empty(0, dtype=engine.model.dtype, device=engine.model.device)]
    step = max(1, engine.gradients_at_a_time // number)
    for start in range(0, len(test.triples), step):
        columns = columns_of(question, engine.loss, test.take(start, start + step), engine.num_entities)
        found.append(_of_sums(engine, columns.blocks))
    total = torch.cat(found).mul_(engine.learning_rate)
    refuse_non_finite(test.triples, total[:, None], what=what)
    return total


def _of_sums(engine: Engine, blocks: Sequence[Block]) -> Float[Tensor, " triple"]:
    """Square the sums of the columns of each triple; each is a gradient at a single score."""
    ids = np.stack([block.triples for block in blocks], axis=1)
    own, products = engine.products_within(ids)
    derivatives = [float(block.weight) * derivative(block.loss, own[:, column]) for column, block in enumerate(blocks)]
    by = torch.stack(derivatives, dim=1)[:, :, None]
    return (by * products * by.transpose(1, 2)).sum(dim=(1, 2))


def _one_answer_each(test: Targets) -> Iterator[Targets]:
    """Take test triples one by one, each as a set of one."""
    for row in range(len(test.triples)):
        yield replace(test.take(row, row + 1), answers=np.zeros(1, dtype=np.int64))


def _of_answers(engine: Engine, question: Question, test: Targets, what: str) -> Float[Tensor, " answer"]:
    """Score the columns of every answer against the answers: ‖Σ_k ∇_k‖² = Σ_k ⟨∇_k, Σ_l ∇_l⟩."""
    assert test.answers is not None  # noqa: S101 - sets of test triples
    columns = columns_of(question, engine.loss, test, engine.num_entities)
    step = engine.gradients_at_a_time
    factors = prepare_columns(engine, columns, batch_size=step)
    total = factors.scale.new_zeros(test.num_answers)
    for block in columns.blocks:
        scorer = AnswerScorer(engine.with_loss(block.loss).scorer(factors), columns.answers)
        weight = np.broadcast_to(block.weight, len(block.triples))
        for start in range(0, len(block.triples), step):
            some = slice(start, start + step)
            answer = send(test.answers[some], total.device)
            own = scorer.whole(block.triples[some]).gather(1, answer[:, None])[:, 0]
            own *= torch.as_tensor(weight[some].copy(), dtype=total.dtype, device=total.device)
            total.index_add_(0, answer, own)
    first = np.unique(test.answers, return_index=True)[1]  # the test triple that stands for its set in an error
    refuse_non_finite(test.triples[first], total[:, None], what=what)
    return total
