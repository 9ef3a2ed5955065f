"""Reads rows block by block, scores them batch by batch, and hands the influences to every reduction."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.engine import BatchScores
from tracin_dask.influence.finite import LateCheck
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.masks.base import Ranked
from tracin_dask.influence.reductions.base import RowIds, ScoredBatch, Start, scored_batch
from tracin_dask.influence.reductions.ranked import RankedRows, index_ranked
from tracin_dask.runs.plan.memory import blocks_ahead, read_rows
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import OnRows, ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.rows.ahead import indexed_ahead, read_ahead
from tracin_dask.runs.work.rows.local import local_batches, local_scores, segments, whole_batch
from tracin_dask.triples.block import TripleBlock, concatenate

Numbers = tuple[Int[ndarray, " _"], ...]
Chosen = slice | Int[ndarray, " row"]
"""Some rows of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known before some rows are scored, by the names of the reductions that need it."""

    seen: Mapping[str, Any] = field(default_factory=dict)
    """Outcomes of rows that were scored before."""
    influences: Mapping[str, Float[ndarray, "_ column"]] = field(default_factory=dict)
    """Influences of listed rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Rows that are scored together."""

    triples: TripleBlock
    rows: Int[ndarray, " row"]
    """Where they stand in the store, ascending."""
    ranked: Ranked
    """Which of them are ranked."""
    numbers: Sequence[Numbers]
    """Those of each row that every reduction asked for; empty where only some rows of the store are read."""
    parts: Callable[[], Iterable[BatchScores]]
    """Gives their influences, in parts."""
    done: int = 0
    """Rows of the store that are done with this batch, if it is the last one of a block."""
    kept: Mapping[int, "_KeptIndex"] = field(default_factory=dict)
    """What reductions need to know of the rows of each part, ahead, by the first of them."""
    num_cancelled: Int[Tensor, ""] | None = None
    """Influences that are 0 because gradients cancel, and that the parts do not count."""

    def ids(self, rows: Chosen, numbers: Numbers) -> RowIds:
        """Give what is known of some rows, with the numbers that a reduction asked for."""
        block = self.triples
        return RowIds(
            triples=block.triples[rows], train_index=block.train_index[rows], rows=self.rows[rows], numbers=numbers
        )


def stream(
    job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, known: Known
) -> tuple[dict[str, Any], int]:
    """Score rows on the grid of the store; gives the outcome of every reduction, by its name.

    It also counts the influences that are 0 because gradients cancel, at the end. A device is waited for once per block
    of rows, when these are reported as done.
    """
    kept, late, cancelled = _Kept(job, known, batches.device), LateCheck(), list[Int[Tensor, ""] | None]()
    for batch in _source(job, kept, batches, rows):
        cancelled.append(batch.num_cancelled)
        for part in batch.parts():
            scored = scored_batch(
                part.influences,
                triples=batch.triples.triples[part.rows],
                train_index=batch.triples.train_index[part.rows],
                rows=batch.rows[part.rows],
                late=late,
            )
            kept.add(scored, batch, part.rows)
            cancelled.append(part.num_cancelled)
        if batch.done:
            late.settle()
            if on_rows is not None:
                on_rows(batch.done)
    counted = [number for number in cancelled if number is not None]
    return kept.finish(), int(torch.stack(counted).sum()) if counted else 0


def _source(job: ScoreJob, kept: "_Kept", batches: InPieces, rows: Rows) -> Iterator[_Batch]:
    """Read rows in batches."""
    if job.neighbourhood is None:
        return indexed_ahead(_every_row(job, kept, batches, rows), batches.device)
    if kept.wants_zeros:
        return _local_among_all(job, kept, batches, rows)
    return indexed_ahead(_local(job, kept, batches, rows), batches.device)


def _every_row(job: ScoreJob, kept: "_Kept", batches: InPieces, rows: Rows) -> Generator[_Batch, None, None]:
    """Read all rows, and index them to be scored."""
    for batch in _grid(job, rows):
        yield _indexed(batch, kept, batches)


def _local(job: ScoreJob, kept: "_Kept", batches: InPieces, rows: Rows) -> Generator[_Batch, None, None]:
    """Read only the rows that touch the test triples, if the store has an index, and index them to be scored."""
    for start, stop in segments(job, rows):
        for block, places in local_batches(job, (start, stop)):
            yield _indexed(_batch(job, block, places), kept, batches)
        none = np.empty(0, np.int64)
        yield _batch(job, concatenate([]), none, done=stop - start)


def _local_among_all(job: ScoreJob, kept: "_Kept", batches: InPieces, rows: Rows) -> Iterator[_Batch]:
    """Read all rows, and score only those that touch the test triples: the others have no influence."""
    for segment in segments(job, rows):
        scores = local_scores(job, batches, segment)
        for number, batch in enumerate(_grid(job, segment)):
            counted = scores.num_cancelled if number == 0 else None
            parts = partial(whole_batch, job, scores, batch.rows) if kept.wants(batch.ranked) else tuple
            yield replace(batch, parts=parts, num_cancelled=counted)


def _grid(job: ScoreJob, rows: Rows) -> Iterator[_Batch]:
    """Cut neighbouring rows into the batches of the store; their influences are still to be given."""
    first, step = rows[0], read_rows(job.batch_size)
    for block, numbers in read_ahead(partial(_read, job), rows, step, blocks_ahead(step, is_far=job.store.is_far)):
        for at in range(0, len(block), job.batch_size):
            some, is_last = slice(at, at + job.batch_size), at + job.batch_size >= len(block)
            batch = _batch(job, block[some], first + np.arange(len(block))[some], done=len(block) if is_last else 0)
            yield replace(batch, numbers=[tuple(of_block[some] for of_block in each) for each in numbers])
        first += len(block)


def _batch(job: ScoreJob, triples: TripleBlock, rows: Int[ndarray, " row"], *, done: int = 0) -> _Batch:
    """Make a batch of rows that are not scored yet."""
    ranked = job.masks.ranked(triples.triples, triples.train_index)
    return _Batch(triples=triples, rows=rows, ranked=ranked, numbers=(), parts=tuple, done=done)


def _indexed(batch: _Batch, kept: "_Kept", batches: InPieces) -> _Batch:
    """Find out all that the ids of a batch say, if it has to be scored: to its scorer, and to the reductions."""
    if not kept.wants(batch.ranked):
        return batch
    found = dict[int, _KeptIndex]()

    def index_kept(rows: slice, arrays: IndexArrays) -> None:
        found[rows.start] = kept.index(batch, rows, arrays)

    pieces = batches.index(batch.triples.triples, index_kept)
    return replace(batch, parts=partial(batches.parts_ahead, pieces), kept=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptIndex:
    """What reductions need to know of some rows of a batch before they take them in."""

    num_rows: int
    ranked: RankedRows | None
    """None where all are ranked."""
    numbers: Sequence[Numbers]
    """Those of each row that every reduction asked for."""
    indexed: Sequence[Any]
    """What every reduction found out; None of one that did not want to."""


class _Kept:
    """All reductions at work on the rows of a task."""

    def __init__(self, job: ScoreJob, known: Known, device: torch.device) -> None:
        self._reductions, self._device = job.reductions, device
        self._index = [one.needs.index for one in job.reductions]
        self._ranked_only = [reduction.needs.ranked for reduction in job.reductions]
        self._streams = [
            reduction.start(
                Start(
                    num_columns=job.num_columns,
                    seen=known.seen.get(reduction.name),
                    influences=known.influences.get(reduction.name),
                )
            )
            for reduction in job.reductions
        ]

    def wants(self, ranked: Ranked) -> bool:
        """Tell whether a batch has to be scored: not where no row is ranked, and nothing else is kept."""
        return not (ranked.is_empty and all(self._ranked_only))

    @property
    def wants_zeros(self) -> bool:
        """Whether rows without influence are kept, too."""
        return any(reduction.needs.zeros for reduction in self._reductions)

    def index(self, batch: _Batch, rows: Chosen, arrays: IndexArrays) -> _KeptIndex:
        """Find out what reductions need to know of some rows of a batch, in any thread."""
        ranked, every = batch.ranked.take(rows), np.arange(len(batch.rows))
        left = None if ranked.rows is None else index_ranked(ranked.rows, ranked.pairs, arrays)
        numbers, indexed = list[Numbers](), list[Any]()
        for place, (index, ranked_only) in enumerate(zip(self._index, self._ranked_only, strict=True)):
            some = rows if left is None or not ranked_only else every[rows][left.chosen]
            asked = batch.numbers[place] if batch.numbers else ()
            numbers.append(tuple(of_batch[some] for of_batch in asked))
            ids = batch.ids(some, numbers[-1])
            indexed.append(None if index is None or len(ids) == 0 else index(ids, arrays))
        return _KeptIndex(num_rows=len(every[rows]), ranked=left, numbers=numbers, indexed=indexed)

    def add(self, scored: ScoredBatch, batch: _Batch, rows: Int[ndarray, " row"]) -> None:
        """Give some rows of a batch to every reduction, or what is ranked of them to those that want no more."""
        known = batch.kept.get(int(rows[0]))
        if known is None or known.num_rows != len(rows):  # rows that are not a piece as it was indexed ahead
            known = self.index(batch, rows, IndexArrays(self._device))
        few = scored if known.ranked is None else known.ranked.part(scored)
        each = zip(self._streams, self._ranked_only, known.numbers, known.indexed, strict=True)
        for stream, ranked_only, numbers, indexed in each:
            given = few if ranked_only else scored
            if given is not None:
                stream.add(replace(given, numbers=numbers, indexed=indexed))

    def finish(self) -> dict[str, Any]:
        """Give the outcomes."""
        pairs = zip(self._reductions, self._streams, strict=True)
        return {reduction.name: stream.finish() for reduction, stream in pairs}


def _read(job: ScoreJob, start: int, stop: int) -> tuple[TripleBlock, list[Numbers]]:
    """Read rows, and the numbers of each that every reduction needs."""
    block = job.store.read(start, stop)
    return block, [
        tuple(given.numbers(block.triples, start) for given in reduction.needs.numbers) for reduction in job.reductions
    ]
