"""What each checkpoint adds to the influences that are reported: these few triples are scored once more."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets, answers_of
from tracin_dask.influence.engine import Engine
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.summed import self_scores
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.score import factors_of
from tracin_dask.runs.work.state import WorkerState

Reported = Sequence[Int[ndarray, "_ 3"]]
"""The training triples that are reported of each test triple; of all together for self-influence."""
Contributions = tuple[Float[ndarray, "_ checkpoint"], ...]
"""What every checkpoint adds to the influence of each of them."""

TESTS_AT_A_TIME = 16
"""All triples reported of so many test triples are scored against each of these: more do work that nobody asked for."""


def contributions(state: WorkerState, job: ScoreJob, targets: Targets | None, reported: Reported) -> Contributions:
    """Score the reported triples by each checkpoint of a job.

    They stand in other batches than before, so that their sums are the influences up to rounding.
    """
    state.forget_test()
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        columns = [list(_by_checkpoint(job, engine, targets, reported)) for engine in engines]
    return tuple(np.stack(of_one, axis=1) for of_one in zip(*columns, strict=True))


def _by_checkpoint(
    job: ScoreJob, engine: Engine, targets: Targets | None, reported: Reported
) -> Iterator[Float[ndarray, " entry"]]:
    if targets is None:
        yield _scored(job, InPieces(lambda ids: [self_scores([engine], ids)]), reported[0])[:, 0]
        return
    for start in range(0, targets.num_answers, TESTS_AT_A_TIME):
        some = targets.take(start, start + TESTS_AT_A_TIME)
        theirs = reported[start : start + TESTS_AT_A_TIME]
        answers = answers_of(some, job.question.num_gradients(job.scoring.loss))
        scorer = make_scorer(engine, factors_of(job, engine, some), answers)
        distinct, place = np.unique(np.concatenate(theirs), axis=0, return_inverse=True)
        scores = _scored(job, InPieces(scorer.parts), distinct)
        ends = np.cumsum([len(triples) for triples in theirs])
        for column, rows in enumerate(np.split(place.ravel(), ends[:-1])):
            yield scores[rows, column]


def _scored(job: ScoreJob, batches: InPieces, ids: Int[ndarray, "row 3"]) -> Float[ndarray, "row column"]:
    """Score triples in batches of the job's size."""
    found = np.zeros((len(ids), min(job.num_columns, TESTS_AT_A_TIME)))
    for at in range(0, len(ids), job.batch_size):
        for part in batches.parts(ids[at : at + job.batch_size]):
            found[at + part.rows, : part.influences.shape[1]] = part.influences.double().cpu().numpy()
    return found
