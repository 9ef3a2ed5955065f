"""Scores only the training triples that touch the test triples, where all others have no influence.

A segment is a range of the store in which so many of them are expected that they fill about a batch. The batches of a
segment are made of its rows in their order, so that influences depend neither on the cut into tasks nor on how the rows
are found: by the index of the store, or by reading all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.engine import BatchScores
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.rows.ahead import indexed_ahead
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.neighbourhood import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalScores:
    """The influences of the training triples of a segment that touch the test triples."""

    rows: Int[ndarray, " row"]
    """Where they stand in the store, ascending."""
    influences: Float[Tensor, "row column"]
    num_cancelled: Int[Tensor, ""] | None
    """How many of them are 0 because gradients cancel; None where there can be none."""


def segments(job: ScoreJob, rows: Rows) -> Iterator[Rows]:
    """Cut a range of rows, which begins where a segment does, into segments."""
    start, stop = rows
    return ((first, min(first + job.segment_rows, stop)) for first in range(start, stop, job.segment_rows))


def local_batches(job: ScoreJob, segment: Rows) -> Iterator[Found]:
    """Read the rows of a segment that touch the test triples, batch by batch."""
    assert job.neighbourhood is not None  # noqa: S101 - asked where there is one
    pending: list[Found] = []
    for found in job.neighbourhood.read(job.store, *segment):
        pending.append(found)
        if sum(len(rows) for _, rows in pending) >= job.batch_size:
            block, rows = _joined(pending)
            whole = len(rows) // job.batch_size * job.batch_size
            yield from _cut(block[:whole], rows[:whole], job.batch_size)
            pending = [(block[whole:], rows[whole:])]
    yield from _cut(*_joined(pending), job.batch_size)


def _joined(parts: list[Found]) -> Found:
    rows = [np.empty(0, np.int64), *(rows for _, rows in parts)]
    return concatenate(block for block, _ in parts), np.concatenate(rows)


def _cut(block: TripleBlock, rows: Int[ndarray, " row"], size: int) -> Iterator[Found]:
    return ((block[at : at + size], rows[at : at + size]) for at in range(0, len(rows), size))


def local_scores(job: ScoreJob, batches: InPieces, segment: Rows) -> LocalScores:
    """Score all rows of a segment that touch the test triples."""
    parts, places, cancelled = list[Tensor](), [np.empty(0, np.int64)], list[Tensor]()
    indexed = ((batches.index(block.triples), rows) for block, rows in local_batches(job, segment))
    for batch, rows in indexed_ahead(indexed, batches.device):
        for part in batches.parts_ahead(batch):
            parts.append(part.influences)
            places.append(rows[part.rows])
            if part.num_cancelled is not None:
                cancelled.append(part.num_cancelled)
    rows, influences = np.concatenate(places), torch.cat(parts) if parts else torch.empty(0, job.num_columns)
    order = np.argsort(rows)
    return LocalScores(
        rows=rows[order],
        influences=influences[send(order, influences.device)],
        num_cancelled=torch.stack(cancelled).sum() if cancelled else None,
    )


def whole_batch(job: ScoreJob, scores: LocalScores, rows: Int[ndarray, " row"]) -> list[BatchScores]:
    """Give the influences of neighbouring rows of the store: 0 where a row does not touch the test triples."""
    first, last = np.searchsorted(scores.rows, [rows[0], rows[-1] + 1]).tolist()
    influences = scores.influences.new_zeros(len(rows), job.num_columns)
    influences[send(scores.rows[first:last] - rows[0], influences.device)] = scores.influences[first:last]
    return [BatchScores(rows=np.arange(len(rows)), influences=influences)]
