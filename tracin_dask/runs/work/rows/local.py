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
from tracin_dask.triples.block import TripleBlock, concatenate
from tracin_dask.triples.neighbourhood import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalScores:
    """The influences of the training triples of a segment that touch the test triples."""

    rows: Int[ndarray, " row"]
    """Where they stand in the store, ascending."""
    influences: Float[Tensor, "row column"]
    num_cancelled: list[Int[Tensor, ""]]


def segments(job: ScoreJob, rows: Rows) -> Iterator[Rows]:
    """Cut a range of rows, which begins where a segment does, into segments."""
    start, stop = rows
    return ((first, min(first + job.segment_rows, stop)) for first in range(start, stop, job.segment_rows))


def local_batches(job: ScoreJob, segment: Rows) -> Iterator[Found]:
    """Read the rows of a segment that touch the test triples, batch by batch."""
    assert job.neighbourhood is not None  # noqa: S101 - asked where there is one
    blocks, places = list[TripleBlock](), list[Int[ndarray, " row"]]()
    for block, rows in job.neighbourhood.read(job.store, *segment):
        blocks.append(block)
        places.append(rows)
        while sum(map(len, blocks)) >= job.batch_size:
            whole, every = concatenate(blocks), np.concatenate(places)
            yield whole[: job.batch_size], every[: job.batch_size]
            blocks, places = [whole[job.batch_size :]], [every[job.batch_size :]]
    if sum(map(len, blocks)):
        yield concatenate(blocks), np.concatenate(places)


def local_scores(job: ScoreJob, batches: InPieces, segment: Rows) -> LocalScores:
    """Score all rows of a segment that touch the test triples."""
    parts, places, cancelled = list[Tensor](), [np.empty(0, np.int64)], list[Tensor]()
    for block, rows in local_batches(job, segment):
        for part in batches.parts(block.triples):
            parts.append(part.influences)
            places.append(rows[part.rows])
            if part.num_cancelled is not None:
                cancelled.append(part.num_cancelled)
    rows, influences = np.concatenate(places), torch.cat(parts) if parts else torch.empty(0, job.num_columns)
    order = np.argsort(rows)
    return LocalScores(rows=rows[order], influences=influences[send(order, influences.device)], num_cancelled=cancelled)


def whole_batch(job: ScoreJob, scores: LocalScores, start: int, num_rows: int) -> BatchScores:
    """Give the influences of a batch of the store: 0 where a row does not touch the test triples."""
    first, last = np.searchsorted(scores.rows, [start, start + num_rows]).tolist()
    influences = scores.influences.new_zeros(num_rows, job.num_columns)
    influences[send(scores.rows[first:last] - start, influences.device)] = scores.influences[first:last]
    return BatchScores(rows=np.arange(num_rows), influences=influences)
