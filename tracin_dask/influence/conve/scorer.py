"""Scores batches of training triples against one set of test triples."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, index_batch, runs, send
from tracin_dask.influence.conve.all_scores import TrainingSide, at_output, highest_tails, moved_tails
from tracin_dask.influence.conve.engine import PairEngine, TestFactors, UpperFactors
from tracin_dask.influence.conve.forward_pass import Forward, RelationSums, scores
from tracin_dask.influence.conve.gradient_factors import LowerFactors, output_factors
from tracin_dask.influence.conve.lower_factors import LowerRows, SharedJacobians, lower_factors
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES
from tracin_dask.influence.conve.terms.all_scores import all_scores_terms
from tracin_dask.influence.conve.terms.all_scores_norm import AllScoresNorm
from tracin_dask.influence.conve.terms.dense import DenseTerms
from tracin_dask.influence.conve.terms.directions import DirectionTerms
from tracin_dask.influence.conve.terms.long_runs import LongRunTerms
from tracin_dask.influence.conve.terms.rows import RowTerms
from tracin_dask.influence.conve.terms.squared_norm import squares_of
from tracin_dask.influence.engine import BatchScores
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.losses import Loss
from tracin_dask.influence.losses.by_row import loss_of_rows
from tracin_dask.influence.tensors import laid_out, move, with_rows

INPUT_REGIONS = frozenset({Sees.HEAD, Sees.BOTH})
"""The regions that carry gradients back to the head's embedding, where the loss reads all scores.

The relation's own region is left out: `RowTerms` adds its part.
"""


class Scorer:
    """An engine and the test triples' side of every product, laid out on its device once for all batches."""

    def __init__(self, engine: PairEngine, test: TestFactors) -> None:
        """Take the test triples' factors from any device."""
        self.engine = engine
        own = move(test, engine.model.device)
        self._test = test = engine.along(own)
        wide = test if engine.modes.forward else with_rows(test, laid_out(len(test)))
        self._dense = DenseTerms(engine, own, wide)
        self._rows = RowTerms(engine, test.embeddings, whole=engine.modes.norms)
        self._relation_sums = self._look_up_relations()
        self._directions = DirectionTerms(engine, test, self._dense, self._rows) if engine.modes.forward else None
        self._long_runs = None if engine.modes.long_run is None else LongRunTerms(engine, wide)
        self._all_scores = None
        if engine.reader is not None:
            self._all_scores = all_scores_terms(
                engine.reader,
                engine.tracked,
                own.embeddings,
                engine.preconditioner,
                num_own=int((~own.all_scores).sum()),
            )

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self._test)

    def with_loss(self, loss: Loss) -> "Scorer":
        """Give a scorer for another loss of the training triples' own scores; both share the layout."""
        scorer = copy(self)
        scorer.engine = replace(self.engine, loss=loss)
        return scorer

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, "batch test"]:
        """Compute learning_rate · ⟨∇loss_i, P ∇loss_j⟩ for every training triple i and test triple j.

        Raises
        ------
        NonFiniteError
            If an influence is NaN or infinite; the training triple is named.
        """
        total = self.whole(triples.numpy())
        refuse_non_finite(triples.numpy(), total, what="training")
        return total

    def whole(self, ids: Int[ndarray, "batch 3"]) -> Float[Tensor, "batch test"]:
        """Score a batch in one piece; its values are not read, so the host does not wait for the device."""
        total = self.engine.model.kernel.new_empty(len(ids), len(self))
        for part in self.parts(ids):
            total[send(part.rows, total.device)] = part.influences
        return total

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch in one or two parts, by the length of the runs of equal (head, relation)."""
        if self.engine.modes.norms:
            influences, squares = self._with_norms(self._index(ids))
            yield BatchScores(rows=np.arange(len(ids)), influences=influences, squares=squares)
            return
        for rows, score in self._ways(ids):
            chosen = ids if len(rows) == len(ids) else ids[rows]
            yield BatchScores(rows=rows, influences=score(self._index(chosen)))

    def _ways(self, ids: Int[ndarray, "batch 3"]) -> Iterator[tuple[Int[ndarray, " row"], Callable[[Batch], Tensor]]]:
        """Divide the rows of a batch among the ways of scoring."""
        modes, every = self.engine.modes, np.arange(len(ids))
        if self._all_scores is not None:
            yield every, self._by_all_scores
        elif modes.forward:
            yield every, self._along_directions
        elif modes.long_run is None:
            yield every, self._by_rows
        else:
            pairs = runs(ids[:, 0], ids[:, 1])
            is_long = (pairs.lengths >= modes.long_run)[pairs.of_row]
            for chosen, score in ((is_long, Scorer._by_long_runs), (~is_long, Scorer._by_rows)):
                if chosen.any():
                    rows = np.flatnonzero(chosen)
                    yield rows, partial(score, self.with_loss(loss_of_rows(cast(Loss, self.engine.loss), rows)))

    def _index(self, ids: Int[ndarray, "batch 3"]) -> Batch:
        """Find the runs of equal (head, relation); each row is a run of its own where triples share no gradients."""
        reader = self.engine.reader
        return index_batch(ids, self.engine.model.device, shares_pairs=reader is None or reader.shares_pairs)

    def _look_up_relations(self) -> RelationSums | None:
        """Give the relation region's part of the forward pass from the relation table, for all batches."""
        engine, features = self.engine, self._dense.features
        region = engine.model.region(Sees.RELATION)
        if engine.relations is None or region is None:
            return None
        return engine.relations.sums(None if features is None else features[:, region.features], engine.precision)

    def _forward(self, batch: Batch) -> tuple[Forward, Float[Tensor, "batch dim"]]:
        """Run the forward pass, and look up the tails' embeddings."""
        ahead = self.engine.ahead(batch, relation_sums=self._relation_sums, test_features=self._dense.features)
        return ahead, self.engine.model.entities.index_select(0, batch.triples[:, 2])

    def _scale(self, total: Tensor, ahead: Forward, tails: Tensor) -> Float[Tensor, "batch test"]:
        """Multiply by learning_rate · δ_i δ_j, in place."""
        return total.mul_(self.engine.delta(ahead, tails)[:, None]).mul_(self._test.scale)

    def _by_rows(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's factors with those of the test triples."""
        ahead, tails = self._forward(batch)
        output = output_factors(self.engine.model, ahead, tails)
        needed = self._rows.needed(batch.ids, moments=self.engine.tracks_convolution)
        lower = self._lower(ahead, output.at_projection, needed)
        total = self._dense.products(ahead, output, lower.moments)
        self._rows.add(total, ahead, output.at_projection, lower, needed)
        return self._scale(total, ahead, tails)

    def _with_norms(self, batch: Batch) -> tuple[Float[Tensor, "batch test"], Float[Tensor, " batch"]]:
        """Do the same with the whole gradients of all rows, and give learning_rate · ⟨∇loss_i, P ∇loss_i⟩, too."""
        engine = self.engine
        ahead, tails = self._forward(batch)
        output = output_factors(engine.model, ahead, tails)
        lower = engine.everything_below(ahead, output)
        total = self._dense.products(ahead, output, lower.moments)
        self._rows.add_whole(total, ahead, lower)
        upper = UpperFactors(output=output, scale=engine.delta(ahead, tails))
        total.mul_(upper.scale[:, None]).mul_(self._test.scale)
        none_at_all_scores = AllScoresNorm(frozenset(), engine.preconditioner)
        return total, squares_of(engine, ahead, upper, lower, none_at_all_scores)

    def _by_all_scores(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Do the same for a loss of all scores, with its gradient at x in place of the tail's embedding."""
        assert self._all_scores is not None  # noqa: S101 - made for such losses
        ahead, tails = self._forward(batch)
        pair_tails = highest_tails(scores(self.engine.model, ahead, tails), batch)
        at_pairs, moved = self._all_scores.read(ahead, pair_tails), moved_tails(batch, pair_tails)
        output = output_factors(self.engine.model, ahead, at_output(self._all_scores.reader, at_pairs, batch, moved))
        needed = LowerRows(
            moments=self.engine.tracks_convolution,
            head_rows=np.arange(len(batch) if ENTITIES in self.engine.tracked else 0),
            relation_rows=self._rows.meeting(batch.ids, "relation"),
            regions=INPUT_REGIONS,
        )
        lower = self._lower(ahead, output.at_projection, needed)
        total = self._dense.products(ahead, output, lower.moments)
        self._rows.add_relations(total, batch, output.at_projection, lower, needed)
        self._all_scores.add(total, TrainingSide(ahead=ahead, at_pairs=at_pairs, moved=moved, heads=lower.head))
        return total.mul_(self._test.scale)

    def _by_long_runs(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with the directions of its pair, made from Jacobians."""
        assert self._long_runs is not None  # noqa: S101 - made where there are long runs
        ahead, tails = self._forward(batch)
        output = output_factors(self.engine.model, ahead, tails)
        total = self._long_runs.products(ahead, output)[:, : len(self._test)]
        needed = self._rows.needed(batch.ids, moments=False)
        lower = self._lower(ahead, output.at_projection, needed)
        self._dense.add_weights(total, ahead, output)
        self._rows.add(total, ahead, output.at_projection, lower, needed)
        return self._scale(total, ahead, tails)

    def _along_directions(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with its pair's derivatives along the few test triples' gradients."""
        assert self._directions is not None  # noqa: S101 - made for forward mode
        ahead, tails = self._forward(batch)
        total = self._directions.products(ahead, tails)
        self._rows.add_tails(total, ahead)
        return self._scale(total, ahead, tails)

    def _lower(self, ahead: Forward, at_projection: Float[Tensor, "batch dim"], needed: LowerRows) -> LowerFactors:
        """Compute the lower factors that meet those of a test triple."""
        engine = self.engine
        shared = SharedJacobians(heads=engine.modes.head_jacobians, relations=engine.relations)
        return lower_factors(engine.model, ahead, at_projection, needed, precision=engine.precision, shared=shared)
