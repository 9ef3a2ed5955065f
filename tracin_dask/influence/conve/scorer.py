"""Scores batch after batch of training triples against one set of test triples."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, index_batch, runs, send
from tracin_dask.influence.conve.all_scores import at_output, moved_rows
from tracin_dask.influence.conve.all_scores_terms import AllScoresTerms, TrainingSide
from tracin_dask.influence.conve.embedding_terms import EmbeddingTerms
from tracin_dask.influence.conve.engine import PairEngine, TestFactors
from tracin_dask.influence.conve.forward_backward import Forward, Known
from tracin_dask.influence.conve.forward_mode import moved_images, moved_projection
from tracin_dask.influence.conve.gradient_factors import (
    LowerFactors,
    OutputFactors,
    SharedJacobians,
    Wanted,
    lower_factors,
    output_factors,
)
from tracin_dask.influence.conve.long_runs import DirectionMaker
from tracin_dask.influence.conve.pair_product import (
    BELOW_PROJECTION,
    ENTITIES,
    FC,
    FC_WEIGHT,
    linear_factors,
    weigh_overlap,
)
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.weight_terms import WeightTerms
from tracin_dask.influence.engine import BatchScores
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.losses import Loss
from tracin_dask.influence.tensors import dot_rows, laid_out, move, with_rows


class Scorer:
    """An engine with the test triples' side of every product laid out on its device, once for all batches."""

    def __init__(self, engine: PairEngine, test: TestFactors) -> None:
        """Take the test triples' factors from any device."""
        self.engine = engine
        own = move(test, engine.model.device)
        self._test = test = engine.along(own)
        self._columns = len(test) if engine.modes.forward else laid_out(len(test))
        wide = with_rows(test, self._columns)
        operand, tracked = engine.precision.operand, engine.tracked
        is_scaled = FC_WEIGHT in engine.preconditioner
        self._weights = WeightTerms(engine, own) if FC_WEIGHT in tracked and is_scaled else None
        self._features = operand(wide.features) if FC_WEIGHT in tracked and not is_scaled else None
        self._at_projection = operand(wide.output.at_projection)
        linear = linear_factors(tracked, wide.output, wide.moments if engine.tracks_convolution else None)
        self._linear = None if linear is None else operand(linear)
        self._constant = torch.zeros_like(wide.output.at_bn2)
        if "bn2.bias" in tracked:
            self._constant += wide.output.at_bn2
        if "fc.bias" in tracked:
            self._constant += engine.model.bn2_scale * wide.output.at_projection
        self._maker = None if engine.modes.long_run is None else DirectionMaker(engine, wide, self._constant)
        self._known = self._look_ahead()
        self._relation_directions: Tensor | None = None
        if engine.modes.forward and engine.relations is not None:
            jacobian = engine.relations.jacobian.to(test.moments.dtype)
            self._relation_directions = torch.stack([direction @ jacobian for direction in test.moments])
        self._embeddings = EmbeddingTerms(engine, test.embeddings)
        self._all_scores = None
        if engine.reader is not None:
            self._all_scores = AllScoresTerms(
                engine.reader,
                tracked,
                own.embeddings,
                engine.preconditioner,
                all_scores=bool(own.all_scores.all()),
            )

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self._test)

    def with_loss(self, loss: Loss) -> "Scorer":
        """Give a scorer of another loss of the training triples' own scores; it shares all that is laid out."""
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
        """Put the parts of a batch together, without a look at their values, which a device would be waited for."""
        total = self.engine.model.kernel.new_empty(len(ids), len(self))
        for part in self.parts(ids):
            total[send(part.rows, total.device)] = part.influences
        return total

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[BatchScores]:
        """Score a batch in one or two parts, by the length of the runs of equal (head, relation)."""
        for rows, score in self._ways(ids):
            chosen = ids if len(rows) == len(ids) else ids[rows]
            yield BatchScores(rows=rows, influences=score(index_batch(chosen, self.engine.model.device)))

    def _ways(self, ids: Int[ndarray, "batch 3"]) -> Iterator[tuple[Int[ndarray, " row"], Callable[[Batch], Tensor]]]:
        """Say which rows of a batch are scored in which way."""
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
            for chosen, score in ((is_long, self._by_long_runs), (~is_long, self._by_rows)):
                if chosen.any():
                    yield np.flatnonzero(chosen), score

    def _look_ahead(self) -> Known | None:
        """Give what is known of the relation's region before any batch."""
        engine = self.engine
        region = engine.model.region(Sees.RELATION)
        if engine.relations is None or region is None:
            return None
        features = None if self._features is None else self._features[:, region.features]
        return engine.relations.known(features, engine.precision)

    def _forward(self, batch: Batch) -> tuple[Forward, Float[Tensor, "batch dim"]]:
        """Run the forward pass; gives the tails' embeddings, too."""
        ahead = self.engine.ahead(batch, known=self._known, test_features=self._features)
        return ahead, self.engine.model.entities.index_select(0, batch.triples[:, 2])

    def _scale(self, total: Tensor, ahead: Forward, tails: Tensor) -> Float[Tensor, "batch test"]:
        """Multiply with learning_rate · δ_i δ_j, in place."""
        return total.mul_(self.engine.delta(ahead, tails)[:, None]).mul_(self._test.scale)

    def _by_rows(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's factors with those of the test triples."""
        ahead, tails = self._forward(batch)
        output = output_factors(self.engine.model, ahead, tails)
        wanted = self._embeddings.wanted(batch.ids, moments=self.engine.tracks_convolution)
        lower = self._lower(ahead, output.at_projection, wanted)
        total = self._products(ahead, output, lower.moments)
        self._embeddings.add(total, ahead, output.at_projection, lower, wanted)
        return self._scale(total, ahead, tails)

    def _by_all_scores(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Do the same where the loss looks at all scores, with its gradient at x in place of the tail's embedding."""
        assert self._all_scores is not None  # noqa: S101 - made for such losses
        ahead = self.engine.ahead(batch, known=self._known, test_features=self._features)
        at_pairs, moved = self._all_scores.read(ahead), moved_rows(batch)
        output = output_factors(self.engine.model, ahead, at_output(self._all_scores.reader, at_pairs, batch, moved))
        wanted = Wanted(
            moments=self.engine.tracks_convolution,
            head_rows=np.arange(len(batch) if ENTITIES in self.engine.tracked else 0),
            relation_rows=self._embeddings.relation_rows(batch.ids),
            regions=frozenset({Sees.HEAD, Sees.BOTH}),
        )
        lower = self._lower(ahead, output.at_projection, wanted)
        total = self._products(ahead, output, lower.moments)
        self._embeddings.add_relations(total, batch, output.at_projection, lower, wanted)
        self._all_scores.add(total, TrainingSide(ahead=ahead, at_pairs=at_pairs, moved=moved, heads=lower.head))
        return total.mul_(self._test.scale)

    def _products(
        self, ahead: Forward, output: OutputFactors, moments: Float[Tensor, "batch moment"] | None
    ) -> Float[Tensor, "batch test"]:
        """Multiply what is no row of an embedding table."""
        precision, tracked, pair = self.engine.precision, self.engine.tracked, ahead.batch.pair
        total = output.at_projection.new_empty(len(pair), self._columns)
        if tracked & FC:
            precision.write_product(total, precision.operand(output.at_projection), self._at_projection.T)
            weight = weigh_overlap(tracked, ahead.overlap)
            total *= weight.index_select(0, pair) if isinstance(weight, Tensor) else weight
        else:
            total.zero_()
        linear = linear_factors(tracked, output, moments)
        if linear is not None and self._linear is not None:
            precision.add_product(total, precision.operand(linear), self._linear.T)
        total = total[:, : len(self._test)]
        if self._weights is not None:
            self._weights.add(total, ahead, output.at_projection)
        return total

    def _by_long_runs(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Multiply the open units of each training triple's tail with the directions of its pair."""
        assert self._maker is not None  # noqa: S101 - made where there are long runs
        precision = self.engine.precision
        ahead, tails = self._forward(batch)
        output = output_factors(self.engine.model, ahead, tails)
        total = tails.new_empty(len(batch), self._columns)
        at_bn2, bounds = precision.operand(output.at_bn2), batch.pair_runs.bounds
        for made in self._maker.directions(ahead):
            for (start, stop), (first, last) in zip(bounds[made.pairs], made.units.bounds, strict=True):
                mine = at_bn2[start:stop].index_select(1, made.units.dim[first:last])
                precision.write_product(total[start:stop], mine, made.along[first:last])
        wanted = self._embeddings.wanted(batch.ids, moments=False)
        lower = self._lower(ahead, output.at_projection, wanted)
        total = total[:, : len(self._test)]
        if self._weights is not None:
            self._weights.add(total, ahead, output.at_projection)
        self._embeddings.add(total, ahead, output.at_projection, lower, wanted)
        return self._scale(total, ahead, tails)

    def _along_directions(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with its pair's derivatives along the few test triples' gradients."""
        engine = self.engine
        ahead, tails = self._forward(batch)
        total = engine.model.kernel.new_empty(len(batch), len(self._test))
        moves = None if self._weights is None else self._weights.moves(ahead)
        for test, projected in enumerate(self._projected_directions(ahead)):
            if moves is not None:
                projected.add_(next(moves))
            direction = self._open_direction(ahead, projected, test)
            total[:, test] = dot_rows(tails, direction.index_select(0, batch.pair))
        self._embeddings.add_tails(total, ahead)
        return self._scale(total, ahead, tails)

    def _open_direction(
        self, ahead: Forward, projected: Float[Tensor, "pair dim"], test: int
    ) -> Float[Tensor, "pair dim"]:
        """Give the derivative of x along one test triple's gradient, from W ȧ; works in its place."""
        output = self._test.output
        if ahead.overlap is not None:
            projected.addcmul_(ahead.overlap[:, test, None], output.at_projection[test])
        projected.mul_(self.engine.model.bn2_scale).add_(self._constant[test])
        if "bn2.weight" in self.engine.tracked:
            projected.addcmul_(ahead.normalised, output.at_bn2_weight[test])
        return projected.mul_(ahead.is_open)

    def _projected_directions(self, ahead: Forward) -> Iterator[Float[Tensor, "pair dim"]]:
        """Give W ȧ of every pair along one test triple's gradient after the other."""
        engine, batch = self.engine, ahead.batch
        model, embeddings, moments = engine.model, self._test.embeddings, self._test.moments
        if not engine.tracked & BELOW_PROJECTION:
            yield from model.kernel.new_zeros(len(self._test), len(batch.pairs), model.config.embedding_dim)
            return
        images = None
        moving = []
        for part in ahead.passes:
            if part.region.sees is Sees.BOTH:
                images = moved_images(
                    model, part.region, batch, self._embeddings.ids, embeddings, tracked=engine.tracked
                )
            moving.append((part, moved_projection(model, part, moments, engine.precision, images)))
            images = None
        for test in range(len(self._test)):
            total = model.kernel.new_zeros(len(batch.pairs), model.config.embedding_dim)
            for part, moved in moving:
                total += part.by_pair(next(moved))
            if self._relation_directions is not None:
                total += self._relation_directions[test].index_select(0, batch.pairs[:, 1])
            self._embeddings.add_own_moves(total, batch, test)
            yield total

    def _lower(self, ahead: Forward, at_projection: Float[Tensor, "batch dim"], wanted: Wanted) -> LowerFactors:
        """Carry the gradient below the projection as far as it meets a test triple's."""
        engine = self.engine
        return lower_factors(
            engine.model,
            ahead,
            at_projection,
            wanted,
            precision=engine.precision,
            shared=SharedJacobians(heads=engine.modes.head_jacobians, relations=engine.relations),
        )
