"""Losses of the scores of all entities, for any model that scores all tails of (head, relation) in one call.

The gradient of such a loss fills whole tables. So the columns are gradients by all tracked tensors, flattened and side
by side, and training triples are scored in forward mode: the scores s_q of all tails of a pair q = (h, r) move along
every column v_j, and the influence is ⟨∂loss_i/∂s_q, ∂s_q/∂θ · v_j⟩. A pair's scores move once for all its triples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from torch.func import jvp, vjp, vmap

from tracin_dask.influence.autograd.factors import WholeGradients
from tracin_dask.influence.autograd.tails_cost import Pieces
from tracin_dask.influence.batch import runs
from tracin_dask.influence.engine import BatchScores, Indexed
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses import AnyLoss, derivative, reads
from tracin_dask.influence.losses.base import ALL_SCORES, derivative_at_all
from tracin_dask.influence.losses.by_row import LossByRow
from tracin_dask.models.rowwise import RowwiseModel


class AllTails:
    """A model's scores of all tails, and their derivatives by the tracked tensors."""

    def __init__(self, model: RowwiseModel, tracked: frozenset[str], *, is_mapped: bool = True) -> None:
        """Tell tracked tensors from the others; `is_mapped` says whether gradients of several pairs take one call."""
        tensors = {name: tensor.detach() for name, tensor in model.tensors().items()}
        self._model, self._is_mapped, self.config = model, is_mapped, model.config_with_tails()
        self.tracked = {name: tensors[name] for name in model.config.parameter_names if name in tracked}
        self._fixed = {name: tensor for name, tensor in tensors.items() if name not in self.tracked}

    def scores(self, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair entity"]:
        """Score all tails of some pairs."""
        return self._score(self.tracked, pairs)

    def along(
        self, pairs: Int[Tensor, "pair 2"], directions: Float[Tensor, "some_column parameter"]
    ) -> Float[Tensor, "some_column pair entity"]:
        """Differentiate the scores of all tails of some pairs along directions (forward mode)."""

        def moved(direction: Tensor) -> Tensor:
            one = {name: part.view_as(self.tracked[name]) for name, part in self.apart(direction).items()}
            _, derivative = jvp(lambda at: self._score(at, pairs), (self.tracked,), (one,))[:2]
            return cast(Tensor, derivative)

        found: Tensor = vmap(moved)(directions)
        return found

    def gradients(
        self, loss: AnyLoss, triples: Int[Tensor, "triple 3"]
    ) -> tuple[Float[Tensor, " triple"], dict[str, Float[Tensor, "triple _"]]]:
        """Give the triples' scores, and the loss of each differentiated by every tracked tensor, flattened.

        All of them are held at once: see `gradients_at_a_time` of the costs.
        """
        make = self._mapped if self._is_mapped and len(triples) > 1 else self._one_by_one
        scores, found = make(loss, triples)
        own = scores.gather(1, triples[:, 2:])[:, 0]
        return own, {name: part.reshape(len(triples), self.tracked[name].numel()) for name, part in found.items()}

    def whole(self, gradients: Mapping[str, Float[Tensor, "triple _"]]) -> Float[Tensor, "triple parameter"]:
        """Put the parts of gradients side by side."""
        return torch.cat([gradients[name] for name in self.tracked], dim=1)

    def apart(self, directions: Float[Tensor, "*stack parameter"]) -> dict[str, Float[Tensor, "*stack _"]]:
        """Cut directions into the parts of each tracked tensor, flattened."""
        parts = torch.split(directions, [tensor.numel() for tensor in self.tracked.values()], dim=-1)
        return dict(zip(self.tracked, parts, strict=True))

    def _mapped(self, loss: AnyLoss, triples: Int[Tensor, "triple 3"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the scores [triple, entity], and the gradients of all triples in one call."""

        def back(pair: Tensor, at_scores: Tensor) -> dict[str, Tensor]:
            _, carry = vjp(lambda tracked: self._score(tracked, pair[None])[0], self.tracked)[:2]
            (found,) = carry(at_scores)
            return cast(dict[str, Tensor], found)

        scores = self.scores(triples[:, :2])
        return scores, vmap(back)(triples[:, :2], _at_scores(loss, scores, triples[:, 2]))

    def _one_by_one(self, loss: AnyLoss, triples: Int[Tensor, "triple 3"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Do the same by plain autograd for one triple after the other: for a single one, or where `vmap` cannot."""
        first = next(iter(self.tracked.values()))
        scores = [first.new_empty(0, self.config.num_entities)]
        found: dict[str, list[Tensor]] = {name: [] for name in self.tracked}
        for triple in torch.split(triples, 1) if len(triples) else ():
            variables = {name: tensor.detach().requires_grad_() for name, tensor in self.tracked.items()}
            with torch.enable_grad():
                own = self._score(variables, triple[:, :2])
            gradients = torch.autograd.grad(
                own,
                list(variables.values()),
                _at_scores(loss, own, triple[:, 2]),
                allow_unused=True,
                materialize_grads=True,
            )
            scores.append(own.detach())
            for name, gradient in zip(variables, gradients, strict=True):
                found[name].append(gradient[None])
        return torch.cat(scores), {name: _joined(parts, self.tracked[name]) for name, parts in found.items()}

    def _score(self, tracked: Mapping[str, Tensor], pairs: Tensor) -> Tensor:
        return self._model.score_all_tails({**self._fixed, **tracked}, pairs)


class AllTailsScorer:
    """Scores training triples under a loss of all scores, in forward mode."""

    def __init__(self, tails: AllTails, loss: AnyLoss, columns: WholeGradients, pieces: Pieces) -> None:
        """Take the columns on the device of the model."""
        self._tails, self._loss, self._columns, self._pieces = tails, loss, columns, pieces

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays, loss: LossByRow | None = None) -> Indexed:
        """Find the triples of one (head, relation) that stand together."""
        assert loss is None  # noqa: S101 - no loss of corrupted triples reads all scores
        pairs = runs(ids[:, 0], ids[:, 1])
        return _PairIndex(
            bounds=[*pairs.starts.tolist(), len(ids)],
            pairs=arrays.put(ids[pairs.starts, :2]),
            pair=arrays.put(pairs.of_row),
            tails=arrays.put(ids[:, 2]),
        )

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch, in one part; triples of one (head, relation) that stand together share its scores."""
        batch = cast(_PairIndex, indexed)
        total = self._columns.whole.new_empty(len(batch), len(self._columns))
        for first in range(0, len(batch.pairs), self._pieces.pairs):
            self._write(total, batch, slice(first, min(first + self._pieces.pairs, len(batch.pairs))))
        yield BatchScores(rows=np.arange(len(batch)), influences=total.mul_(self._columns.scale))

    def _write(self, total: Float[Tensor, "batch column"], batch: "_PairIndex", some: slice) -> None:
        """Score the rows of some pairs, in place."""
        pairs, step = batch.pairs.tensor[some], self._pieces.rows
        first, last = batch.bounds[some.start], batch.bounds[some.stop]
        scores, pair = self._tails.scores(pairs), batch.pair.tensor
        for start in range(0, len(self._columns), self._pieces.columns):
            columns = slice(start, min(start + self._pieces.columns, len(self._columns)))
            along = self._tails.along(pairs, self._columns.whole[columns])
            for at in range(first, last, step):
                rows = slice(at, min(at + step, last))
                place = pair[rows] - some.start
                at_scores = derivative_at_all(self._loss, scores[place], batch.tails.tensor[rows])
                moved = along.index_select(1, place)
                total[rows, columns] = torch.einsum("re,cre->rc", at_scores, moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PairIndex:
    """A batch, and its runs of equal (head, relation)."""

    bounds: list[int]
    """The first row of each run, and the number of rows."""
    pairs: IndexArray
    """[pair, 2]."""
    pair: IndexArray
    """The run of each row: [batch]."""
    tails: IndexArray
    """[batch]."""

    def __len__(self) -> int:
        """Count the triples."""
        return len(self.tails)


def _at_scores(
    loss: AnyLoss, scores: Float[Tensor, "row entity"], tails: Int[Tensor, " row"]
) -> Float[Tensor, "row entity"]:
    """Differentiate losses of all scores, or of the tail's score, by all scores."""
    if reads(loss) == ALL_SCORES:
        return derivative_at_all(loss, scores, tails)
    own = derivative(loss, scores.detach().gather(1, tails[:, None])[:, 0])
    return torch.zeros_like(scores).scatter_(1, tails[:, None], own[:, None])


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    """Put gradients [1, ...] of one tensor one after the other; a single one is not copied."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts) if parts else like.new_empty(0, *like.shape)
