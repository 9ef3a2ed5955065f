"""Reads rows block by block, scores them batch by batch, and keeps what is wanted of the influences."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.reductions.group_totals import GroupSums, GroupTotals
from tracin_dask.influence.reductions.topk import TopK, TopKStream
from tracin_dask.runs.plan.memory import read_rows
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.sinks.score_writer import ScoreWriter
from tracin_dask.runs.work.job import OnRows, ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.triples.block import TripleBlock

Block = TypeVar("Block")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of the influences of some rows."""

    top: TopK
    totals: tuple[GroupTotals, ...]


def stream(job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, seen: TopK | None = None) -> Kept:
    """Score rows on the grid of the store; keep the best, and what groups sum up to.

    Of entries that are known to be surpassed by those of rows that were `seen`, none are kept.
    """
    top, start = TopKStream(job.top_k, job.num_columns, seen), rows[0]
    sums = GroupSums([grouping.num_groups for grouping in job.groupings], job.num_columns)
    writer = None if job.scores is None else ScoreWriter(job.scores, job.batch_size, job.num_columns)
    for block, groups in read_ahead(partial(_read, job), rows, read_rows(job.batch_size)):
        for at in range(0, len(block), job.batch_size):
            batch = block[at : at + job.batch_size]
            for part in batches.parts(batch.triples):
                top.add(part.influences, batch.train_index[part.rows], batch.triples[part.rows])
                if writer is not None:
                    writer.add(part.rows, part.influences)
                if groups:
                    sums.add(part.influences, [numbers[at + part.rows] for numbers in groups])
            if writer is not None:
                writer.write(start + at, len(batch))
        if on_rows is not None:
            on_rows(len(block))
        start += len(block)
    if writer is not None:
        writer.sync()
    return Kept(top=top.finish(), totals=sums.finish())


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


def _read(job: ScoreJob, start: int, stop: int) -> tuple[TripleBlock, list[Int[ndarray, " row"]]]:
    """Read rows, and the group of each by every grouping."""
    block = job.store.read(start, stop)
    return block, [grouping.numbers(block, start) for grouping in job.groupings]
