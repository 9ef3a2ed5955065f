"""Scores batch after batch of training triples against one set of test triples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import Batch, index_batch, runs, send
from tracin_dask.influence.directions import OwnMoves, moved_images, moved_projection, own_moves
from tracin_dask.influence.engine import PairEngine, TestFactors
from tracin_dask.influence.factors import LowerFactors, SharedJacobians, Wanted, lower_factors, output_factors
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.layout import Sees
from tracin_dask.influence.long_runs import DirectionMaker
from tracin_dask.influence.passes import Forward, Known, dot_rows
from tracin_dask.influence.product import (
    BELOW_PROJECTION,
    ENTITIES,
    ENTITY_BIAS,
    FC,
    RELATIONS,
    EmbeddingRows,
    IdIndex,
    IdVectors,
    add_by_relation,
    add_where_equal,
    linear_factors,
    weigh_overlap,
)
from tracin_dask.influence.tensors import laid_out, move, with_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Influences of some rows of a batch on all test triples."""

    rows: Int[ndarray, " row"]
    influences: Float[Tensor, "row test"]


class Scorer:
    """An engine with the test triples' side of every product laid out on its device, once for all batches."""

    def __init__(self, engine: PairEngine, test: TestFactors) -> None:
        """Take the test triples' factors from any device."""
        self.engine = engine
        ids = test.embeddings.triples.cpu().numpy()
        self._ids = ids
        self._test = test = move(test, engine.model.device)
        self._columns = len(test) if engine.modes.forward else laid_out(len(test))
        wide = with_rows(test, self._columns)
        operand, tracked, config = engine.precision.operand, engine.tracked, engine.model.config
        self._features = operand(wide.features) if "fc.weight" in tracked else None
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
        self._moves = own_moves(engine.model, test.embeddings, engine.precision)
        self._vectors = _with_moves(test.embeddings, self._moves)
        self._heads = IdIndex(ids[:, 0], config.num_entities)
        self._tails = IdIndex(ids[:, 2], config.num_entities)
        self._relations = IdIndex(ids[:, 1], config.num_relations)

    def __len__(self) -> int:
        """Count the test triples."""
        return len(self._ids)

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, "batch test"]:
        """Compute learning_rate · ⟨∇loss_i, ∇loss_j⟩ for every training triple i and test triple j.

        Raises
        ------
        NonFiniteError
            If an influence is NaN or infinite; the training triple is named.
        """
        total = self.engine.model.kernel.new_empty(len(triples), len(self))
        for part in self.parts(triples.numpy()):
            total[send(part.rows, total.device)] = part.influences
        refuse_non_finite(triples.numpy(), total, what="training")
        return total

    def parts(self, ids: Int[ndarray, "batch 3"]) -> Iterator[Scores]:
        """Score a batch in one or two parts, by the length of the runs of equal (head, relation)."""
        modes, device = self.engine.modes, self.engine.model.device
        if modes.forward or modes.long_run is None:
            score = self._along_directions if modes.forward else self._by_rows
            yield Scores(rows=np.arange(len(ids)), influences=score(index_batch(ids, device)))
            return
        pairs = runs(ids[:, 0], ids[:, 1])
        is_long = (pairs.lengths >= modes.long_run)[pairs.of_row]
        for chosen, score in ((is_long, self._by_long_runs), (~is_long, self._by_rows)):
            rows = np.flatnonzero(chosen)
            if len(rows):
                yield Scores(rows=rows, influences=score(index_batch(ids[rows], device)))

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
        engine, precision, tracked = self.engine, self.engine.precision, self.engine.tracked
        ahead, tails = self._forward(batch)
        output = output_factors(engine.model, ahead, tails)
        total = tails.new_empty(len(batch), self._columns)
        if tracked & FC:
            precision.write_product(total, precision.operand(output.at_projection), self._at_projection.T)
            weight = weigh_overlap(tracked, ahead.overlap)
            total *= weight.index_select(0, batch.pair) if isinstance(weight, Tensor) else weight
        else:
            total.zero_()
        lower, wanted = self._lower(ahead, output.at_projection, moments=engine.tracks_convolution)
        linear = linear_factors(tracked, output, lower.moments)
        if linear is not None and self._linear is not None:
            precision.add_product(total, precision.operand(linear), self._linear.T)
        total = total[:, : len(self)]
        self._add_embedding_terms(total, ahead, output.at_projection, lower, wanted)
        return self._scale(total, ahead, tails)

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
        lower, wanted = self._lower(ahead, output.at_projection, moments=False)
        total = total[:, : len(self)]
        self._add_embedding_terms(total, ahead, output.at_projection, lower, wanted)
        return self._scale(total, ahead, tails)

    def _along_directions(self, batch: Batch) -> Float[Tensor, "batch test"]:
        """Multiply each training triple's tail with its pair's derivatives along the few test triples' gradients."""
        engine = self.engine
        ahead, tails = self._forward(batch)
        total = engine.model.kernel.new_empty(len(batch), len(self))
        for test, projected in enumerate(self._projected_directions(ahead)):
            direction = self._open_direction(ahead, projected, test)
            total[:, test] = dot_rows(tails, direction.index_select(0, batch.pair))
        self._add_tail_terms(total, ahead)
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
            yield from model.kernel.new_zeros(len(self), len(batch.pairs), model.config.embedding_dim)
            return
        images = None
        moving = []
        for part in ahead.passes:
            if part.region.sees is Sees.BOTH:
                images = moved_images(model, part.region, batch, self._ids, embeddings, tracked=engine.tracked)
            moving.append((part, moved_projection(model, part, moments, engine.precision, images)))
            images = None
        for test in range(len(self)):
            total = model.kernel.new_zeros(len(batch.pairs), model.config.embedding_dim)
            for part, moved in moving:
                total += part.by_pair(next(moved))
            if self._relation_directions is not None:
                total += self._relation_directions[test].index_select(0, batch.pairs[:, 1])
            self._add_own_moves(total, batch, test)
            yield total

    def _add_own_moves(self, total: Float[Tensor, "pair dim"], batch: Batch, test: int) -> None:
        """Add to the directions of pairs what moves with their head or relation alone, in place."""
        tracked, (heads, relations) = self.engine.tracked, batch.host_pairs.T
        h, r, t = self._ids[test].tolist()
        moved = []
        if ENTITIES in tracked:
            moved += [(heads == h, self._moves.head), (heads == t, self._moves.tail)]
        if RELATIONS in tracked:
            moved.append((relations == r, self._moves.relation))
        for is_moved, moves in moved:
            if is_moved.any():
                total[send(np.flatnonzero(is_moved), total.device)] += moves[test]

    def _lower(
        self, ahead: Forward, at_projection: Float[Tensor, "batch dim"], *, moments: bool
    ) -> tuple[LowerFactors, Wanted]:
        """Carry the gradient below the projection as far as it meets a test triple's."""
        engine, ids = self.engine, ahead.batch.ids
        none = np.zeros(len(ids), dtype=bool)
        is_head = self._heads.holds(ids[:, 0]) | self._tails.holds(ids[:, 0]) if ENTITIES in engine.tracked else none
        is_relation = self._relations.holds(ids[:, 1]) if RELATIONS in engine.tracked else none
        wanted = Wanted(
            moments=moments,
            head_rows=np.flatnonzero(is_head),
            relation_rows=np.flatnonzero(is_relation),
            regions=frozenset({Sees.BOTH}),
        )
        lower = lower_factors(
            engine.model,
            ahead,
            at_projection,
            wanted,
            precision=engine.precision,
            shared=SharedJacobians(heads=engine.modes.head_jacobians, relations=engine.relations),
        )
        return lower, wanted

    def _add_embedding_terms(
        self, total: Tensor, ahead: Forward, at_projection: Tensor, lower: LowerFactors, wanted: Wanted
    ) -> None:
        """Add the terms of the embedding tables' rows, in place.

        What the head's and the relation's own regions add is ⟨d_i, own move of j⟩.
        """
        ids, vectors, device = ahead.batch.ids, self._vectors, total.device
        rows = wanted.head_rows
        if len(rows):
            mine = torch.cat([lower.head, at_projection[send(rows, device)]], dim=1)
            heads = IdVectors(ids=ids[rows, 0], vectors=mine, rows=rows)
            add_where_equal(total, self._heads, heads, vectors.head)
            add_where_equal(total, self._tails, heads, vectors.tail)
        rows = wanted.relation_rows
        if len(rows):
            mine = torch.cat([lower.relation, at_projection[send(rows, device)]], dim=1)
            relations = IdVectors(ids=ids[rows, 1], vectors=mine, rows=rows)
            add_by_relation(total, self._relations, relations, vectors.relation)
        self._add_tail_terms(total, ahead)

    def _add_tail_terms(self, total: Tensor, ahead: Forward) -> None:
        """Add the terms of the tails' rows, whose gradients are the outputs x, in place."""
        tracked, batch, test = self.engine.tracked, ahead.batch, self._test.embeddings
        ids, pair = batch.ids[:, 2], batch.pair_runs.of_row
        if ENTITIES in tracked:
            tails = IdVectors(ids=ids, vectors=ahead.x, vector_of_row=pair)
            add_where_equal(total, self._heads, tails, test.head)
            add_where_equal(total, self._tails, tails, test.tail)
        if ENTITY_BIAS in tracked:
            one = total.new_ones(1, 1)
            tails = IdVectors(ids=ids, vectors=one, vector_of_row=np.zeros_like(pair))
            add_where_equal(total, self._tails, tails, one.expand(len(self), 1))


def _with_moves(test: EmbeddingRows, moves: OwnMoves) -> EmbeddingRows:
    """Put each embedding's gradient beside how the projection's output moves along it."""
    return EmbeddingRows(
        triples=test.triples,
        head=torch.cat([test.head, moves.head], dim=1),
        relation=torch.cat([test.relation, moves.relation], dim=1),
        tail=torch.cat([test.tail, moves.tail], dim=1),
    )
