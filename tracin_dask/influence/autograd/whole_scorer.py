"""Scores training triples by whole gradients of losses of all scores, together with the lengths of these.

Where influences are divided by the lengths, each triple's gradient is made anyway. Its products with the columns are
one matrix product, and no score moves along them.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.autograd.all_tails import AllTails
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.factors import WholeGradients
from tracin_dask.influence.engine import BatchScores, Indexed
from tracin_dask.influence.grouped import Squares
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.losses.by_row import LossByRow


class WholeScorer:
    """An engine with the columns on its device."""

    def __init__(self, engine: GradientEngine, tails: AllTails, columns: WholeGradients) -> None:
        """Take the columns on the device of the model."""
        self._engine, self._tails, self._columns = engine, tails, columns
        self._by_tensor = tails.apart(columns.whole)

    def __len__(self) -> int:
        """Count the columns."""
        return len(self._columns)

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays, loss: LossByRow | None = None) -> Indexed:
        """Take the triples to the device."""
        assert loss is None  # noqa: S101 - no loss of corrupted triples reads all scores
        return arrays.put(ids)

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch, in one part, with as many gradients at a time as may be held."""
        triples = cast(IndexArray, indexed).tensor
        pieces = [self._score(piece) for piece in torch.split(triples, self._engine.gradients_at_a_time)]
        influences, squares = (torch.cat(parts) for parts in zip(*pieces, strict=True))
        yield BatchScores(
            rows=np.arange(len(triples)),
            influences=influences.mul_(self._columns.scale),
            squares=Squares(whole=squares),
        )

    def _score(self, triples: Int[Tensor, "row 3"]) -> tuple[Float[Tensor, "row column"], Float[Tensor, " row"]]:
        """Give the products of some triples' gradients with the columns, and learning_rate · ⟨∇loss_i, P ∇loss_i⟩."""
        gradients = self._tails.gradients(self._engine.loss, triples)[1]
        products = self._columns.whole.new_zeros(len(triples), len(self))
        for name, gradient in gradients.items():
            products.addmm_(gradient, self._by_tensor[name].T)
        return products, self._engine.whole_squares(gradients)
