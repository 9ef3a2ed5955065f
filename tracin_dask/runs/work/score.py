"""What a worker does: load the checkpoints once, prepare the test triples, score a range of rows."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.engine import Engine
from tracin_dask.influence.finite import refuse_non_finite
from tracin_dask.influence.normalised import question_lengths
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.table_gradients import is_among
from tracin_dask.influence.tensors import move
from tracin_dask.runs.plan.plan import Rows
from tracin_dask.runs.work.columns import prepared_columns
from tracin_dask.runs.work.job import Counters, Listed, OnRows, Prepared, Scored, ScoreJob, TestSide, bytes_of
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.rows.local import local_scores
from tracin_dask.runs.work.rows.stream import Known, stream
from tracin_dask.runs.work.state import WorkerState


def load_ahead(state: WorkerState, job: ScoreJob) -> None:
    """Load the checkpoints before the first task needs them, which then counts them."""
    with computing(job) as here:
        state.load(job, here)


def prepare_test(state: WorkerState, job: ScoreJob, targets: Targets) -> Prepared:
    """Compute the test triples' factors, once for all tasks."""
    with computing(job) as here:
        engines, loads = state.engines(job, here)
        return _prepared(job, engines, targets, loads)


def score_rows(
    state: WorkerState,
    job: ScoreJob,
    test: TestSide,
    rows: Rows,
    *,
    on_rows: OnRows | None = None,
    listed: Listed | None = None,
) -> Scored:
    """Score a range of rows, and keep what the reductions make of it.

    `listed` are the influences of rows that reductions need to know before.
    """
    with computing(job) as here:
        started = time.perf_counter()
        engines, loads = state.engines(job, here)
        counters = Counters(rows=rows[1] - rows[0], tasks=1, checkpoint_loads=loads)
        if isinstance(test, Targets):
            test = _prepared(job, engines, test)
            counters += test.counters
        report = None if on_rows is None else here.turn.outside(on_rows)
        with torch.no_grad():
            work = state.laid_out(job, engines, test)
            before = work.batches.halvings
            known = Known(seen=work.seen, influences=listed or {})
            kept, num_cancelled = stream(job, work.batches, rows, report, known)
            work.remember(rows, kept)
        return Scored(
            kept=kept,
            kept_bytes=bytes_of(job.reductions, kept),
            counters=replace(
                counters,
                task_seconds=time.perf_counter() - started,
                batch_halvings=work.batches.halvings - before,
                cancelled_influences=num_cancelled,
            ),
            device=here.device.type,
            precision=_precision_name(engines[0]),
        )


def listed_influences(
    state: WorkerState, job: ScoreJob, test: TestSide, rows: Int[ndarray, " listed"]
) -> Float[ndarray, "listed column"]:
    """Score the batches of the grid in which some rows of the store lie, as a pass does; gives what is of these rows.

    Raises
    ------
    NonFiniteError
        If an influence is NaN or infinite; the training triple is named.
    """
    found = np.zeros((len(rows), job.num_columns))
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        prepared = _prepared(job, engines, test) if isinstance(test, Targets) else test
        batches = state.laid_out(job, engines, prepared).batches
        for mine, scored in _scored_with(job, batches, rows):
            found = found.astype(scored.dtype, copy=False)
            found[mine] = scored
    return found


Listing = tuple[Int[ndarray, " some"], Float[ndarray, "some column"]]
"""Places in a list of rows, and their influences."""


def _scored_with(job: ScoreJob, batches: InPieces, rows: Int[ndarray, " listed"]) -> Iterator[Listing]:
    """Score listed rows with the others of their batches, or of their segments where few rows are scored."""
    if job.neighbourhood is not None:
        for number in np.unique(rows // job.segment_rows).tolist():
            start, mine = number * job.segment_rows, np.flatnonzero(rows // job.segment_rows == number)
            scores = local_scores(job, batches, (start, min(start + job.segment_rows, len(job.store))))
            is_scored = is_among(rows[mine], scores.rows)
            place = np.searchsorted(scores.rows, rows[mine[is_scored]])
            yield mine[is_scored], scores.influences.cpu().numpy()[place]
        return
    size = job.batch_size
    for number in np.unique(rows // size).tolist():
        start, mine = number * size, np.flatnonzero(rows // size == number)
        triples = job.store.read(start, min(start + size, len(job.store))).triples
        place = np.full(len(triples), -1)
        place[rows[mine] - start] = mine
        for part in batches.parts(triples):
            is_listed = place[part.rows] >= 0
            influences = part.influences.cpu().numpy()[is_listed]
            refuse_non_finite(triples[part.rows[is_listed]], torch.from_numpy(influences), what="training")
            yield place[part.rows[is_listed]], influences


def _prepared(job: ScoreJob, engines: Sequence[Engine], targets: Targets, loads: int = 0) -> Prepared:
    is_cosine = job.scoring.normalize == "cosine"
    with torch.no_grad():
        lengths = move(question_lengths(engines, job.question, targets), "cpu") if is_cosine else None
        tests, answers = zip(*(prepared_columns(job, engine, targets) for engine in engines), strict=True)
    return Prepared(
        tests=tuple(move(factors, "cpu") for factors in tests),
        answers=answers,
        lengths=lengths,
        counters=Counters(checkpoint_loads=loads, test_factor_computations=1),
    )


def _precision_name(engine: Engine) -> str:
    working = str(engine.model.dtype).removeprefix("torch.")
    return working if engine.precision is Precision.FULL else f"{engine.precision.value} products, {working} sums"
