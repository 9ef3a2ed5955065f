"""Scores batches of training triples against one set of test triples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, index_batch, runs
from tracin_dask.influence.conve.all_scores import PairGradients, TileSum, TrainingSide, moved_rows, pair_gradients
from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_pass import Forward, RelationSums, scores
from tracin_dask.influence.conve.gradient_factors import LowerFactors, OutputFactors, output_factors
from tracin_dask.influence.conve.lower_factors import lower_factors
from tracin_dask.influence.conve.lower_rows import LowerRows, everything, head_runs, lower_rows, relation_runs
from tracin_dask.influence.conve.part_index import ConvEIndex, MovedIndex, PartIndex, Way
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.tensor_names import ENTITIES
from tracin_dask.influence.conve.terms.all_scores import all_scores_terms
from tracin_dask.influence.conve.terms.all_scores_norm import AllScoresNorm
from tracin_dask.influence.conve.terms.dense import DenseTerms
from tracin_dask.influence.conve.terms.directions import DirectionTerms
from tracin_dask.influence.conve.terms.long_runs import LongRunTerms
from tracin_dask.influence.conve.terms.products_within import products_of
from tracin_dask.influence.conve.terms.rows import RowTerms
from tracin_dask.influence.conve.terms.squared_norm import AtAllScores, squares_at_all_scores, squares_at_own_scores
from tracin_dask.influence.engine import BatchScores, Indexed
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.grouped import Squares, squares_of_groups
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import Loss
from tracin_dask.influence.losses.by_row import LossByRow
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

    def under(self, loss: Loss) -> "Scorer":
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
        ids, total = triples.numpy(), self.engine.model.kernel.new_empty(len(triples), len(self))
        for part in self.parts(self.index(ids, IndexArrays(total.device))):
            total[slice(None) if part.place is None else part.place] = part.influences
        refuse_non_finite(ids, total, what="training")
        return total

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays, loss: LossByRow | None = None) -> ConvEIndex:
        """Divide a batch into one or two parts, by the length of the runs of equal (head, relation), and index them."""
        parts = []
        for rows, way in self._ways(ids):
            own = loss if loss is None or len(rows) == len(ids) else loss.of_rows(rows, arrays)
            parts.append(self._index(ids, rows, way, arrays, own))
        return ConvEIndex(num_rows=len(ids), parts=tuple(parts))

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch in its parts."""
        for part in cast(ConvEIndex, indexed).parts:
            scorer = self if part.loss is None else self.under(part.loss)
            place = None if part.place is None else part.place.tensor
            if part.way is Way.NORMS:
                influences, squares = scorer.with_norms(part)
                yield BatchScores(rows=part.rows, place=place, influences=influences, squares=squares)
            else:
                yield BatchScores(rows=part.rows, place=place, influences=self.ways[part.way](scorer, part))

    def _ways(self, ids: Int[ndarray, "batch 3"]) -> Iterator[tuple[Int[ndarray, " row"], Way]]:
        """Divide the rows of a batch among the ways of scoring."""
        modes, every = self.engine.modes, np.arange(len(ids))
        if modes.norms:
            yield every, Way.NORMS
        elif self._all_scores is not None:
            yield every, Way.ALL_SCORES
        elif modes.forward:
            yield every, Way.DIRECTIONS
        elif modes.long_run is None:
            yield every, Way.ROWS
        else:
            pairs = runs(ids[:, 0], ids[:, 1])
            is_long = (pairs.lengths >= modes.long_run)[pairs.of_row]
            for chosen, way in ((is_long, Way.LONG_RUNS), (~is_long, Way.ROWS)):
                if chosen.any():
                    yield np.flatnonzero(chosen), way

    def _index(
        self,
        ids: Int[ndarray, "batch 3"],
        rows: Int[ndarray, " row"],
        way: Way,
        arrays: IndexArrays,
        loss: LossByRow | None,
    ) -> PartIndex:
        """Index some rows of a batch; each is a run of its own where triples share no gradients."""
        engine, is_whole = self.engine, len(rows) == len(ids)
        batch = index_batch(
            ids if is_whole else ids[rows],
            arrays,
            shares_pairs=engine.reader is None or engine.reader.shares_pairs,
            by_relation=self._relation_sums is None and engine.model.region(Sees.RELATION) is not None,
        )
        needed, moved = self._needed(batch, way, arrays), None
        if self._all_scores is not None:
            heads = self._all_scores.index(batch, arrays)
            moved = MovedIndex(rows=arrays.put(moved_rows(batch)), heads=heads)
        return PartIndex(
            rows=rows,
            place=None if is_whole else arrays.put(rows),
            way=way,
            loss=loss,
            batch=batch,
            needed=needed,
            meets=self._rows.index(batch, needed, arrays, tails=self._all_scores is None),
            pairs=self._rows.moved_pairs(batch, arrays) if way is Way.DIRECTIONS else None,
            moved=moved,
        )

    def _needed(self, batch: Batch, way: Way, arrays: IndexArrays) -> LowerRows:
        """List the rows that are carried back, and those that share Jacobians instead."""
        engine, none = self.engine, np.empty(0, np.int64)
        if way is Way.DIRECTIONS:
            return lower_rows(arrays, none, none, moments=False, regions=frozenset())
        if way is Way.NORMS:
            return everything(batch, arrays)
        heads, relations = (self._rows.meeting(batch.ids, row) for row in ("head", "relation"))
        regions, moments = frozenset({Sees.BOTH}), engine.tracks_convolution and way is not Way.LONG_RUNS
        if way is Way.ALL_SCORES:
            heads, regions = (np.arange(len(batch)) if ENTITIES in engine.tracked else none), INPUT_REGIONS
        needed = lower_rows(arrays, heads, relations, moments=moments, regions=regions)
        if not moments:
            return needed
        has_heads = engine.modes.head_jacobians and engine.model.region(Sees.HEAD) is not None
        return replace(
            needed,
            by_head=tuple(head_runs(engine.model, batch, arrays)) if has_heads else None,
            by_relation=None if engine.relations is None else relation_runs(engine.model, batch, arrays),
        )

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

    def _by_rows(self, part: PartIndex) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's factors with those of the test triples."""
        ahead, tails = self._forward(part.batch)
        output = output_factors(self.engine.model, ahead, tails)
        lower = self._lower(ahead, output.at_projection, part.needed)
        total = self._dense.products(ahead, output, lower.moments)
        self._rows.add(total, part.meets, ahead, output.at_projection, lower)
        return self._scale(total, ahead, tails)

    def with_norms(self, part: PartIndex) -> tuple[Float[Tensor, "batch test"], Squares]:
        """Do the same with the whole gradients of all rows, and give learning_rate · ⟨∇loss_i, P ∇loss_i⟩, too.

        Where the rows' losses are parts of sums, these are the squares of the sums.
        """
        if self._all_scores is not None:
            return self._with_norms_by_all_scores(part)
        engine = self.engine
        ahead, tails = self._forward(part.batch)
        output = output_factors(engine.model, ahead, tails)
        lower = self._lower(ahead, output.at_projection, part.needed)
        total = self._dense.products(ahead, output, lower.moments)
        self._rows.add_whole(total, part.meets, ahead, lower)
        delta = engine.delta(ahead, tails)
        total.mul_(delta[:, None]).mul_(self._test.scale)
        if part.loss is not None and part.loss.sums is not None:
            place = part.loss.sums.tensor
            products = products_of(engine, ahead, output, lower, place=place, dtype=torch.float64)
            derivatives = delta.index_select(0, place.flatten()).view(place.shape)
            return total, squares_of_groups(derivatives, products, engine.learning_rate)
        return total, Squares(whole=squares_at_own_scores(engine, ahead, output, lower, delta))

    def _by_all_scores(self, part: PartIndex) -> Float[Tensor, "batch test"]:
        """Do the same for a loss of all scores, with its gradient at x in place of the tail's embedding."""
        assert self._all_scores is not None  # noqa: S101 - made for such losses
        ahead, found, output = self._at_all_scores(part, self._all_scores.sums)
        lower = self._lower(ahead, output.at_projection, part.needed)
        total = self._dense.products(ahead, output, lower.moments)
        self._rows.add_relations(total, part.meets, output.at_projection, lower)
        self._add_all_scores(total, part, ahead, found, lower)
        return total.mul_(self._test.scale)

    def _with_norms_by_all_scores(self, part: PartIndex) -> tuple[Float[Tensor, "batch test"], Squares]:
        """Do the same with the whole gradients of all rows, and give their squares, too."""
        assert self._all_scores is not None  # noqa: S101 - made for such losses
        engine, sums = self.engine, self._all_scores.sums
        norm = AllScoresNorm(engine.tracked, engine.preconditioner)
        ahead, found, output = self._at_all_scores(part, [*sums, *norm.sums])
        lower = self._lower(ahead, output.at_projection, part.needed)
        total = self._dense.products(ahead, output, lower.moments)
        self._rows.add_whole_relations(total, part.meets, lower)
        self._add_all_scores(total, part, ahead, found, lower)
        at_all = AtAllScores(norm=norm, found=found, sums=found.at_pairs.sums[len(sums) :])
        return total.mul_(self._test.scale), Squares(whole=squares_at_all_scores(engine, ahead, output, lower, at_all))

    def _at_all_scores(self, part: PartIndex, sums: Sequence[TileSum]) -> tuple[Forward, PairGradients, OutputFactors]:
        """Sum over the gradients at all scores."""
        assert self._all_scores is not None and part.moved is not None  # noqa: S101, PT018 - made for such losses
        ahead, tails = self._forward(part.batch)
        own = scores(self.engine.model, ahead, tails)
        found = pair_gradients(self._all_scores.reader, ahead, own, part.moved.rows.tensor, sums)
        vectors = found.at_output(self._all_scores.reader, part.batch)
        return ahead, found, output_factors(self.engine.model, ahead, vectors)

    def _add_all_scores(
        self,
        total: Float[Tensor, "batch test"],
        part: PartIndex,
        ahead: Forward,
        found: PairGradients,
        lower: LowerFactors,
    ) -> None:
        """Add the terms of the gradients at all scores, in place."""
        assert self._all_scores is not None and part.moved is not None  # noqa: S101, PT018 - made for such losses
        side = TrainingSide(
            ahead=ahead,
            found=found,
            heads=lower.head,
            meets=part.moved.heads,
        )
        self._all_scores.add(total, side)

    def _by_long_runs(self, part: PartIndex) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with the directions of its pair, made from Jacobians."""
        assert self._long_runs is not None  # noqa: S101 - made where there are long runs
        ahead, tails = self._forward(part.batch)
        output = output_factors(self.engine.model, ahead, tails)
        total = self._long_runs.products(ahead, output)[:, : len(self._test)]
        lower = self._lower(ahead, output.at_projection, part.needed)
        self._dense.add_weights(total, ahead, output)
        self._rows.add(total, part.meets, ahead, output.at_projection, lower)
        return self._scale(total, ahead, tails)

    def _along_directions(self, part: PartIndex) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with its pair's derivatives along the few test triples' gradients."""
        assert self._directions is not None and part.pairs is not None  # noqa: S101, PT018 - made for forward mode
        ahead, tails = self._forward(part.batch)
        total = self._directions.products(ahead, tails, part.pairs)
        self._rows.add_tails(total, part.meets.tails, ahead)
        return self._scale(total, ahead, tails)

    def _lower(self, ahead: Forward, at_projection: Float[Tensor, "batch dim"], needed: LowerRows) -> LowerFactors:
        """Compute the lower factors that meet those of a test triple."""
        engine = self.engine
        return lower_factors(
            engine.model, ahead, at_projection, needed, precision=engine.precision, relations=engine.relations
        )

    ways: ClassVar[Mapping[Way, Callable[["Scorer", PartIndex], Tensor]]] = {
        Way.ROWS: _by_rows,
        Way.LONG_RUNS: _by_long_runs,
        Way.DIRECTIONS: _along_directions,
        Way.ALL_SCORES: _by_all_scores,
    }
