"""Reads rows block by block, scores them batch by batch, and hands the influences to every reduction."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.reductions.base import Start, scored_batch
from tracin_dask.runs.plan.memory import read_rows
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import OnRows, ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.triples.block import TripleBlock

Block = TypeVar("Block")
Numbers = tuple[Int[ndarray, " row"], ...]


def stream(
    job: ScoreJob, batches: InPieces, rows: Rows, on_rows: OnRows | None, seen: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Score rows on the grid of the store; gives the outcome of every reduction, by its name.

    `seen` are outcomes of rows that were scored before, for reductions that need them.
    """
    first, known = rows[0], seen or {}
    streams = [
        reduction.start(Start(num_columns=job.num_columns, seen=known.get(reduction.name)))
        for reduction in job.reductions
    ]
    for block, numbers in read_ahead(partial(_read, job), rows, read_rows(job.batch_size)):
        for at in range(0, len(block), job.batch_size):
            for part in batches.parts(block.triples[at : at + job.batch_size]):
                place = at + part.rows
                batch = scored_batch(
                    part.influences,
                    triples=block.triples[place],
                    train_index=block.train_index[place],
                    rows=first + place,
                )
                for kept, mine in zip(streams, numbers, strict=True):
                    kept.add(replace(batch, numbers=tuple(values[place] for values in mine)) if mine else batch)
        if on_rows is not None:
            on_rows(len(block))
        first += len(block)
    return {reduction.name: kept.finish() for reduction, kept in zip(job.reductions, streams, strict=True)}


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
