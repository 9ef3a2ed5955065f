"""The norms of the gradients of what is reported, by which influences were divided."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.engine import BatchScores, Engine
from tracin_dask.influence.normalised import Normalize, question_norms, training_norms
from tracin_dask.report.result import Norms
from tracin_dask.runs.work.contributions import Contributions, Reported
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.state import WorkerState


def reported_norms(state: WorkerState, job: ScoreJob, targets: Targets, reported: Reported) -> Norms:
    """Compute the norms of test triples, and of the training triples that are reported of them.

    The latter stand in other batches than before: they are those that influences were divided by up to rounding.
    """
    state.forget_test()
    distinct, place = np.unique(np.concatenate(reported), axis=0, return_inverse=True)
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        found = _training_norms(engines, distinct, job.batch_size)
        test = question_norms(engines, job.question, targets).double().cpu().numpy()
    ends = np.cumsum([len(triples) for triples in reported])
    return Norms(train=tuple(found[rows] for rows in np.split(place.ravel(), ends[:-1])), test=test)


def divided(contributions: Contributions, norms: Norms, normalize: Normalize) -> Contributions:
    """Divide what each checkpoint adds as its sum was divided."""
    by_test = norms.test if normalize == "cosine" else np.ones_like(norms.test)
    found = []
    for entries, train, test in zip(contributions, norms.train, by_test, strict=True):
        by = (train * test)[:, None]
        found.append(np.divide(entries, by, out=np.zeros_like(entries), where=by > 0))
    return tuple(found)


def _training_norms(engines: Sequence[Engine], ids: Int[ndarray, "row 3"], batch_size: int) -> Float[ndarray, " row"]:
    """Compute norms in batches of the job's size."""
    found = np.zeros(len(ids))
    batches = InPieces(
        lambda some: [BatchScores(rows=np.arange(len(some)), influences=training_norms(engines, some)[:, None])]
    )
    for at in range(0, len(ids), batch_size):
        for part in batches.parts(ids[at : at + batch_size]):
            found[at + part.rows] = part.influences[:, 0].double().cpu().numpy()
    return found
