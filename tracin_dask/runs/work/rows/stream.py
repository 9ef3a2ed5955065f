"""Reads rows block by block, scores them batch by batch, and hands the influences to every reduction."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.engine import BatchScores
from tracin_dask.influence.masks.base import Ranked
from tracin_dask.influence.reductions.base import ScoredBatch, Start, ranked_part, scored_batch
from tracin_dask.runs.plan.memory import read_rows
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import OnRows, ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.rows.local import local_batches, local_scores, segments, whole_batch
from tracin_dask.triples.block import TripleBlock

Block = TypeVar("Block")
Numbers = tuple[Int[ndarray, " _"], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known before some rows are scored, by the names of the reductions that need it."""

    seen: Mapping[str, Any] = field(default_factory=dict)
    """Outcomes of rows that were scored before."""
    influences: Mapping[str, Float[ndarray, "_ column"]] = field(default_factory=dict)
    """Influences of listed rows."""


def stream(
    job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, known: Known
) -> tuple[dict[str, Any], int]:
    """Score rows on the grid of the store; gives the outcome of every reduction, by its name.

    It also counts the influences that are 0 because gradients cancel, at the end: a device is not waited for.
    """
    kept = _Kept(job, known)
    if job.neighbourhood is None:
        cancelled = _score_all(job, batches, rows, on_rows, kept)
    elif kept.wants_zeros:
        cancelled = _score_local_among_all(job, batches, rows, on_rows, kept)
    else:
        cancelled = _score_local(job, batches, rows, on_rows, kept)
    return kept.finish(), sum(int(number) for number in cancelled)


def _score_all(
    job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, kept: "_Kept"
) -> list[Int[Tensor, ""]]:
    """Score all rows; gives the counts of influences that are 0 because gradients cancel."""
    cancelled, first = [], rows[0]
    for block, numbers in read_ahead(partial(_read, job), rows, read_rows(job.batch_size)):
        for at in range(0, len(block), job.batch_size):
            batch = block[at : at + job.batch_size]
            ranked = job.masks.ranked(batch.triples, batch.train_index)
            for part in batches.parts(batch.triples) if kept.wants(ranked) else ():
                kept.add_part(part, block, _Place(at=at, first=first), ranked, numbers)
                if part.num_cancelled is not None:
                    cancelled.append(part.num_cancelled)
        if on_rows is not None:
            on_rows(len(block))
        first += len(block)
    return cancelled


def _score_local_among_all(
    job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, kept: "_Kept"
) -> list[Int[Tensor, ""]]:
    """Do the same where only rows that touch the test triples have influences, and all rows are kept."""
    cancelled = []
    for segment in segments(job, rows):
        scores, first = local_scores(job, batches, segment), segment[0]
        cancelled += scores.num_cancelled
        for block, numbers in read_ahead(partial(_read, job), segment, read_rows(job.batch_size)):
            for at in range(0, len(block), job.batch_size):
                batch = block[at : at + job.batch_size]
                ranked = job.masks.ranked(batch.triples, batch.train_index)
                if kept.wants(ranked):
                    part = whole_batch(job, scores, first + at, len(batch))
                    kept.add_part(part, block, _Place(at=at, first=first), ranked, numbers)
            if on_rows is not None:
                on_rows(len(block))
            first += len(block)
    return cancelled


def _score_local(
    job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, kept: "_Kept"
) -> list[Int[Tensor, ""]]:
    """Do the same where only these rows are kept: the others are not even read, if the store has an index."""
    cancelled = []
    for start, stop in segments(job, rows):
        for block, places in local_batches(job, (start, stop)):
            ranked = job.masks.ranked(block.triples, block.train_index)
            for part in batches.parts(block.triples) if kept.wants(ranked) else ():
                scored = scored_batch(
                    part.influences,
                    triples=block.triples[part.rows],
                    train_index=block.train_index[part.rows],
                    rows=places[part.rows],
                )
                kept.add(scored, ranked.take(part.rows), None, 0)
                if part.num_cancelled is not None:
                    cancelled.append(part.num_cancelled)
        if on_rows is not None:
            on_rows(stop - start)
    return cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a batch stands in its block, and where the block stands in the store."""

    at: int
    first: int


class _Kept:
    """All reductions at work on the rows of a task."""

    def __init__(self, job: ScoreJob, known: Known) -> None:
        self._reductions = job.reductions
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

    def add_part(
        self, part: BatchScores, block: TripleBlock, place: _Place, ranked: Ranked, numbers: Sequence[Numbers]
    ) -> None:
        """Give a part of a batch of a block; `numbers` are those of the whole block."""
        rows = place.at + part.rows
        scored = scored_batch(
            part.influences,
            triples=block.triples[rows],
            train_index=block.train_index[rows],
            rows=place.first + rows,
        )
        self.add(scored, ranked.take(part.rows), numbers, place.first)

    def add(self, batch: ScoredBatch, ranked: Ranked, numbers: Sequence[Numbers] | None, first: int) -> None:
        """Give a batch to every reduction, or what is ranked of it to those that want no more.

        `numbers` are those that every reduction asked for, of the rows from `first` on; None where none asks for any.
        """
        few = batch if ranked.rows is None else ranked_part(batch, ranked.rows, ranked.pairs)
        for place, (stream, ranked_only) in enumerate(zip(self._streams, self._ranked_only, strict=True)):
            given = few if ranked_only else batch
            if given is not None:
                mine = tuple(of_block[given.rows - first] for of_block in numbers[place]) if numbers else ()
                stream.add(replace(given, numbers=mine) if mine else given)

    def finish(self) -> dict[str, Any]:
        """Give the outcomes."""
        pairs = zip(self._reductions, self._streams, strict=True)
        return {reduction.name: stream.finish() for reduction, stream in pairs}


def read_ahead(read: Callable[[int, int], Block], rows: Rows, step: int) -> Iterator[Block]:
    """Read rows block by block, the next one in a thread of its own while this one is scored.

    Reading takes a tenth of the time of one test triple, and more where the store is far away.
    """
    start, stop = rows
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        ahead = deque([reader.submit(read, start, min(start + step, stop))])
        while ahead:
            block = ahead.popleft().result()
            start += step
            if start < stop:
                ahead.append(reader.submit(read, start, min(start + step, stop)))
            yield block


def _read(job: ScoreJob, start: int, stop: int) -> tuple[TripleBlock, list[Numbers]]:
    """Read rows, and the numbers of each that every reduction needs."""
    block = job.store.read(start, stop)
    return block, [
        tuple(given.numbers(block.triples, start) for given in reduction.needs.numbers) for reduction in job.reductions
    ]
