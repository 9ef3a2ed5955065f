"""Influences divided by the lengths of gradients, so that triples with long ones do not lead every list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.columns import Answers, Question, Targets
from tracin_dask.influence.engine import BatchScorer, BatchScores, Engine, Factors, Indexed
from tracin_dask.influence.grouped import Squares
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.squares import CANCELLED, SquaresIndex, index_squares, self_squares, squared_lengths
from tracin_dask.influence.tensors import apart

Normalize = Literal["none", "cosine", "relatif"]
"""Divide by nothing; by the norms of both gradients; or by the training triple's only [1]_.

.. [1] Barshan, Brunet, Dziugaite: RelatIF, AISTATS 2020: the ℓ-relative influence, with the identity as the Hessian.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of sums of gradients, and what share they are of the lengths of what they add."""

    norms: Float[Tensor, " sum"]
    """In float64."""
    shares: Float[Tensor, " sum"] | None
    """1 where nothing cancels, 0 where everything does; None where each is of one gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _NormalisedIndex:
    """A batch, to be scored and to be divided."""

    own: SquaresIndex | None
    """None where lengths come with the influences."""
    scored: Indexed

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.scored)


class NormalisedScorer:
    """Scores batches, and divides by the norms of the training triples' gradients, and of the test triples' if given.

    A norm is that of the gradients of all checkpoints side by side, each times the root of its learning rate, so that
    no quotient by both norms is beyond 1. Where a gradient is zero the influence is 0, and so it is where gradients
    cancel to their rounding errors.
    """

    def __init__(
        self,
        scorer: BatchScorer,
        engines: Sequence[Engine],
        test: Lengths | None = None,
        powers: Float[Tensor, " test"] | None = None,
    ) -> None:
        """Take what scores, the engines of its checkpoints, and the test triples' lengths from any device.

        `powers` are those that the scorer's columns were divided by: see `without_powers`.
        """
        self._scorer, self._engines = scorer, tuple(engines)
        self._dtype, device = engines[0].model.dtype, engines[0].model.device
        self._by_test: Tensor | None = None if powers is None else powers.to(device)
        if test is not None:
            by_norm = _reciprocals(test.norms.to(device), self._dtype)
            self._by_test = by_norm if self._by_test is None else by_norm * self._by_test
        if self._by_test is not None:
            self._by_test = self._by_test.to(self._dtype)
        self._test_shares = None if test is None or test.shares is None else test.shares.to(device)

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Find out what the ids say to the scorer, and to the gradients' own lengths."""
        own = None if self._engines[0].scores_with_squares else index_squares(self._engines[0], ids, arrays)
        return _NormalisedIndex(own=own, scored=self._scorer.index(ids, arrays))

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch in the parts that the scorer makes of it."""
        batch, whole = cast(_NormalisedIndex, indexed), None
        for part in self._scorer.parts(batch.scored):
            if part.squares is not None:
                lengths = _lengths([part.squares])
            else:
                assert batch.own is not None  # noqa: S101 - else lengths come with the influences
                whole = whole or training_lengths(self._engines, batch.own)
                lengths = whole if part.place is None else of_rows(whole, part.place)
            part.influences.mul_(_reciprocals(lengths.norms, self._dtype)[:, None])
            if self._by_test is not None:
                part.influences.mul_(self._by_test)
            shares = None if lengths.shares is None else lengths.shares[:, None]
            yield _without_cancelled(part, shares, self._test_shares)


class NormScorer:
    """Gives the lengths of gradients of training triples, as the only column of a batch."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Take an engine for each checkpoint; lengths are those of all gradients side by side."""
        self._engines = tuple(engines)

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Find out what the ids say."""
        return index_squares(self._engines[0], ids, arrays)

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Give the lengths of a batch, in one part."""
        norms = training_lengths(self._engines, cast(SquaresIndex, indexed)).norms
        yield BatchScores(rows=np.arange(len(norms)), influences=norms[:, None])


def _without_cancelled(
    part: BatchScores, rows: Float[Tensor, "row 1"] | None, tests: Float[Tensor, " test"] | None
) -> BatchScores:
    """Put 0 in place of quotients of rounding errors, and count them.

    A product's rounding errors are relative to all that is added on both sides. The quotient by what is left of these
    has 1 / (share · share) times as large ones: they stay below 1e-4.
    """
    if rows is None and tests is None:
        return part
    shares = (1 if rows is None else rows) * (1 if tests is None else tests)
    least = CANCELLED * torch.finfo(part.influences.dtype).eps
    is_lost = torch.broadcast_to(torch.as_tensor(shares) < least, part.influences.shape)
    return replace(part, influences=part.influences.masked_fill_(is_lost, 0), num_cancelled=is_lost.sum())


def without_powers(tests: Sequence[Factors], answers: Answers) -> tuple[list[Factors], Float[Tensor, " test"]]:
    """Divide the columns of each answer by a power of two of the size of their scales, over all checkpoints.

    Products of short gradients on both sides are beyond float32; their quotients are not. A power of two changes no
    digit.
    """
    sizes = sum(answers.add_up(factors.scale.abs()[None])[0] for factors in tests)
    _, powers = apart(torch.as_tensor(sizes))
    return [
        replace(factors, scale=(factors.scale / answers.of_columns(powers, len(factors))).to(factors.scale.dtype))
        for factors in tests
    ], powers


def training_lengths(engines: Sequence[Engine], indexed: SquaresIndex) -> Lengths:
    """Compute √(Σ over checkpoints of learning_rate · ‖∇loss_i‖²) for every triple i; raises as `self_squares`."""
    return _lengths([self_squares(engine, indexed) for engine in engines])


def question_lengths(engines: Sequence[Engine], question: Question, test: Targets) -> Lengths:
    """Compute √(Σ over checkpoints of learning_rate · ‖∇a‖²), where ∇a is the sum of all columns of an answer a.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite; the triple is named.
    """
    return _lengths([squared_lengths(engine, question, test) for engine in engines])


def of_rows(lengths: Lengths, rows: Int[Tensor, " row"]) -> Lengths:
    """Take the lengths of some rows of a batch."""
    shares = None if lengths.shares is None else lengths.shares.index_select(0, rows)
    return Lengths(norms=lengths.norms.index_select(0, rows), shares=shares)


def roots(squares: Float[Tensor, " triple"]) -> Float[Tensor, " triple"]:
    """Take roots in float64; sums that cancel to below 0 count as 0."""
    return squares.clamp(min=0).sqrt()


def _lengths(squares: Sequence[Squares]) -> Lengths:
    """Put the gradients of several checkpoints side by side."""
    norms = roots(reduce(torch.add, [one.whole for one in squares]))
    parts = [one.parts for one in squares if one.parts is not None]
    if not parts:
        return Lengths(norms=norms, shares=None)
    added = roots(reduce(torch.add, parts))
    return Lengths(norms=norms, shares=torch.where(added > 0, norms / added, 1))


def _reciprocals(norms: Float[Tensor, " triple"], dtype: torch.dtype) -> Float[Tensor, " triple"]:
    """Invert norms as numbers of a type: 0 where one is 0 or below these numbers, NaN where it is beyond or NaN."""
    typed = norms.to(dtype)
    found = typed.reciprocal().masked_fill_(typed < torch.finfo(dtype).tiny, 0)
    return found.masked_fill_(typed == torch.inf, torch.nan)
