"""What is asked of the few training triples that are reported: what each checkpoint adds, norms, self-influences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.engine import Engine
from tracin_dask.influence.normalised import Normalize, NormScorer, question_lengths
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.squares import FEW
from tracin_dask.influence.summed import SelfScorer
from tracin_dask.report.result import Norms
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.runs.work.columns import prepared_columns
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.state import WorkerState

Reported = Sequence[Int[ndarray, "_ 3"]]
"""The training triples that are reported of each test triple; of all together for self-influence."""
Contributions = tuple[Float[ndarray, "_ checkpoint"], ...]
"""What every checkpoint adds to the influence of each of them."""

TESTS_AT_A_TIME = 16
"""All triples reported of so many test triples are scored against each of these: more do work that nobody asked for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AboutReported:
    """What is known of the reported training triples, as far as it is needed.

    Attributes
    ----------
    of_further
        What every checkpoint adds to the influences of those that rankings leave out, where there are several
        trainings.
    """

    norms: Norms | None = None
    self_influences: SelfInfluences | None = None
    contributions: Contributions | None = None
    of_further: Contributions | None = None


def contributions(state: WorkerState, job: ScoreJob, targets: Targets | None, reported: Reported) -> Contributions:
    """Score the reported triples by each checkpoint of a job.

    They stand in other batches than before, so that their sums are the influences up to rounding.
    """
    state.forget_test()
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        columns = [list(_by_checkpoint(job, engine, targets, reported)) for engine in engines]
    return tuple(np.stack(of_one, axis=1) for of_one in zip(*columns, strict=True))


def reported_norms(state: WorkerState, job: ScoreJob, targets: Targets, reported: Reported) -> Norms:
    """Compute the norms of test triples, and of the training triples that are reported of them.

    The latter stand in other batches than before: they are those that influences were divided by up to rounding.
    """
    state.forget_test()
    distinct, place = np.unique(np.concatenate(reported), axis=0, return_inverse=True)
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        found = _training_norms(engines, distinct, job.batch_size)
        test = question_lengths(engines, job.question, targets).norms.cpu().numpy()
    ends = np.cumsum([len(triples) for triples in reported])
    return Norms(train=tuple(found[rows] for rows in np.split(place.ravel(), ends[:-1])), test=test)


def reported_self_influences(state: WorkerState, job: ScoreJob, targets: Targets, reported: Reported) -> SelfInfluences:
    """Compute the self-influences of test triples, and of the training triples that are reported of them.

    They stand in other batches than in mode 'self': they are what it gives up to rounding.
    """
    state.forget_test()
    asked = [targets.triples, *reported]
    distinct, place = np.unique(np.concatenate(asked), axis=0, return_inverse=True)
    with computing(job) as here, torch.no_grad():
        engines, _ = state.engines(job, here)
        rows = min(job.batch_size, engines[0].gradients_at_a_time, FEW)
        smaller = replace(job, batch_size=rows)
        found = _scored(smaller, InPieces(SelfScorer(engines), here.device), distinct)[:, 0]
    ends = np.cumsum([len(triples) for triples in asked])
    test, *train = (found[rows] for rows in np.split(place.ravel(), ends[:-1]))
    return SelfInfluences(test=test, train=tuple(train))


def divided(
    contributions: Contributions, norms: Norms, normalize: Normalize, influences: Sequence[Float[ndarray, " entry"]]
) -> Contributions:
    """Divide what each checkpoint adds as its sum was divided; 0 where the sum counts as 0."""
    by_test = norms.test if normalize == "cosine" else np.ones_like(norms.test)
    found = []
    for entries, train, test, whole in zip(contributions, norms.train, by_test, influences, strict=True):
        by = (train * test * (whole != 0))[:, None]
        found.append(np.divide(entries, by, out=np.zeros_like(entries), where=by > 0))
    return tuple(found)


def about_rankings(norms: Norms | None, found: Contributions | None, lengths: Sequence[int]) -> AboutReported:
    """Part what is known of rankings and of further training triples behind them, by the lengths of the rankings."""
    if norms is not None:
        norms = Norms(train=tuple(one[:end] for one, end in zip(norms.train, lengths, strict=True)), test=norms.test)
    if found is None:
        return AboutReported(norms=norms)
    pairs = list(zip(found, lengths, strict=True))
    listed, further = tuple(one[:end] for one, end in pairs), tuple(one[end:] for one, end in pairs)
    return AboutReported(norms=norms, contributions=listed, of_further=further)


def _by_checkpoint(
    job: ScoreJob, engine: Engine, targets: Targets | None, reported: Reported
) -> Iterator[Float[ndarray, " entry"]]:
    if targets is None:
        yield _scored(job, InPieces(SelfScorer([engine]), engine.model.device), reported[0])[:, 0]
        return
    for start in range(0, targets.num_answers, TESTS_AT_A_TIME):
        some = targets.take(start, start + TESTS_AT_A_TIME)
        theirs = reported[start : start + TESTS_AT_A_TIME]
        scorer = make_scorer(engine, *prepared_columns(job, engine, some))
        distinct, place = np.unique(np.concatenate(theirs), axis=0, return_inverse=True)
        scores = _scored(job, InPieces(scorer, engine.model.device), distinct)
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


def _training_norms(engines: Sequence[Engine], ids: Int[ndarray, "row 3"], batch_size: int) -> Float[ndarray, " row"]:
    """Compute norms in batches of the job's size."""
    found = np.zeros(len(ids))
    batches = InPieces(NormScorer(engines), engines[0].model.device)
    for at in range(0, len(ids), batch_size):
        for part in batches.parts(ids[at : at + batch_size]):
            found[at + part.rows] = part.influences[:, 0].cpu().numpy()
    return found
