"""Which rows of a batch are carried back below the projection, and which of them share a Jacobian."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.batch import Batch
from tracin_dask.influence.conve.folded import FoldedConvE
from tracin_dask.influence.conve.jacobians import key_chunks
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.index_arrays import IndexArray, IndexArrays
from tracin_dask.influence.run_products import Multiplied, RunIndex, index_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRuns:
    """Neighbouring rows of some heads, each with one Jacobian."""

    keys: slice
    """The heads, among the runs of a batch."""
    rows: slice
    runs: RunIndex
    """One run for each head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationRuns:
    """All rows of a batch, brought together by relation."""

    order: IndexArray
    """The row at each place: [batch]."""
    place: IndexArray
    """The place of each row: [batch]."""
    runs: RunIndex
    """One run for each relation of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BothRows:
    """The rows that need the region of both embeddings: for their heads, or for their relations."""

    rows: IndexArray
    """[row], ascending."""
    of_heads: IndexArray
    """Where those of heads are among them: [head_row]."""
    of_relations: IndexArray
    """Where those of relations are among them: [relation_row]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowerRows:
    """The rows whose gradients are needed below the projection, as ascending numbers of a batch's triples."""

    moments: bool
    """Whether the moments are needed, of all rows."""
    head_rows: IndexArray
    """[head_row]."""
    relation_rows: IndexArray
    """[relation_row]."""
    both: BothRows | None
    """None where all rows go back through that region, or none."""
    regions: frozenset[Sees]
    """The regions whose parts of the embeddings' gradients are needed."""
    has_one_image: bool
    """Whether the same rows need the whole stacked image: what sees both halves is added once."""
    by_head: tuple[HeadRuns, ...] | None = None
    """Moments through Jacobians of heads; None where rows go back through the region that sees only the head."""
    by_relation: RelationRuns | None = None
    """Moments through Jacobians of relations; None without a table of these."""

    def goes_back_whole(self, sees: Sees) -> bool:
        """Tell whether all rows need the backward pass of a region: for their moments."""
        return self.moments and not (self.by_head is not None and sees is Sees.HEAD)

    def rows(self, sees: Sees) -> IndexArray | None:
        """List the rows that need the backward pass of a region; None for all."""
        if self.goes_back_whole(sees):
            return None
        if sees is Sees.BOTH:
            assert self.both is not None  # noqa: S101 - found where only some rows go back
            return self.both.rows
        return self.head_rows if sees is Sees.HEAD else self.relation_rows

    def needs(self, sees: Sees) -> bool:
        """Tell whether any row is carried back through a region."""
        if self.goes_back_whole(sees):
            return True
        return sees in self.regions and len(self.rows(sees) or ()) > 0

    def within(self, sees: Sees, half: Sees) -> IndexArray | None:
        """Tell where the rows of one half of the stacked image are among those of a region; None for the same rows."""
        chosen = self.head_rows if half is Sees.HEAD else self.relation_rows
        if self.goes_back_whole(sees):
            return chosen
        if sees is not Sees.BOTH:
            return None
        assert self.both is not None  # noqa: S101 - found where only some rows go back
        return self.both.of_heads if half is Sees.HEAD else self.both.of_relations


def lower_rows(
    arrays: IndexArrays,
    heads: Int[ndarray, " head_row"],
    relations: Int[ndarray, " relation_row"],
    *,
    moments: bool,
    regions: frozenset[Sees],
) -> LowerRows:
    """List rows whose gradients are needed."""
    both = None
    if Sees.BOTH in regions and not moments:
        rows = np.union1d(heads, relations)
        both = BothRows(
            rows=arrays.put(rows),
            of_heads=arrays.put(np.searchsorted(rows, heads)),
            of_relations=arrays.put(np.searchsorted(rows, relations)),
        )
    return LowerRows(
        moments=moments,
        head_rows=arrays.put(heads),
        relation_rows=arrays.put(relations),
        both=both,
        regions=regions,
        has_one_image=regions == frozenset(Sees) and np.array_equal(heads, relations),
    )


def everything(batch: Batch, arrays: IndexArrays) -> LowerRows:
    """List all rows of a batch, which are carried back through the whole model."""
    every = np.arange(len(batch))
    return lower_rows(arrays, every, every, moments=True, regions=frozenset(Sees))


def head_runs(model: FoldedConvE, batch: Batch, arrays: IndexArrays) -> Iterator[HeadRuns]:
    """Cut the heads of a batch so that their Jacobians can be held, and find the rows of each."""
    lengths = batch.head_runs.lengths
    stops = np.cumsum(lengths)
    for keys in key_chunks(model, len(lengths)):
        rows = slice(int(stops[keys.start] - lengths[keys.start]), int(stops[keys.stop - 1]))
        yield HeadRuns(keys=keys, rows=rows, runs=index_runs(lengths[keys], multiplied(model), arrays))


def relation_runs(model: FoldedConvE, batch: Batch, arrays: IndexArrays) -> RelationRuns:
    """Bring the rows of a batch together by relation."""
    relation = batch.ids[:, 1]
    order = np.argsort(relation, kind="stable")
    lengths = np.bincount(relation, minlength=model.config.num_relations)
    runs = index_runs(lengths, multiplied(model), arrays)
    return RelationRuns(order=arrays.put(order), place=arrays.put(np.argsort(order)), runs=runs)


def multiplied(model: FoldedConvE) -> Multiplied:
    """Describe gradients at the projection's output."""
    return Multiplied(dtype=model.dtype, width=model.config.embedding_dim, tiling=model.tiling)
