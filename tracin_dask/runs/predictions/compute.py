"""Computes the scores and the ranks of test triples, on a worker or in the run's own process."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tracin_dask.influence.precision import working_dtype
from tracin_dask.models.checkpoints.checkpoint_file import Contents
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.ranking.candidates import HEAD, TAIL, Candidates
from tracin_dask.models.ranking.counts import Known, rank_counts
from tracin_dask.report.predictions import EntityRanks
from tracin_dask.runs.predictions.task import RankTask, TripleScores, joined_ranks
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.process import computing
from tracin_dask.runs.work.state import WorkerState
from tracin_dask.triples.known_ends import KnownEnds, known_heads, known_positions, known_tails
from tracin_dask.triples.store import TripleStore


def score_parts(
    state: WorkerState, job: ScoreJob, parts: Sequence[RankTask], models: Sequence[Contents] = ()
) -> list[TripleScores]:
    """Score and rank by the model of the last checkpoint, which is loaded here where no `models` are given.

    Products are made in the working precision, whatever the run rounds: these are the scores of the model itself.
    """
    state.forget_test()
    with computing(_unrounded(job)) as here, torch.no_grad():
        contents = models[-1] if models else job.checkpoints[-1].load()
        candidates = Candidates.of(placed(contents.model, here.device))
        return [scored(candidates, job.store, part) for part in parts]


def _unrounded(job: ScoreJob) -> ScoreJob:
    is_double = working_dtype(job.computing.precision) == torch.float64
    return replace(job, computing=replace(job.computing, precision="float64" if is_double else "float32"))


def placed(model: TrainedModel, device: torch.device) -> TrainedModel:
    """Bring a model to a device; the caller's stays where it is."""
    if device.type == "cpu":
        return model
    return cast("TrainedModel", deepcopy(cast("nn.Module", model)).to(device))


def scored(candidates: Candidates, store: TripleStore, part: RankTask) -> TripleScores:
    """Score and rank some triples, as many at a time as their candidates' scores fit."""
    device, size = candidates.model.device, candidates.pieces.triples
    tails, heads = tails_known(store, part), heads_known(store, part)
    scores, tail_ranks, head_ranks = [], [], []
    for start in range(0, len(part.triples), size):
        some = slice(start, start + size)
        triples = torch.from_numpy(part.triples[some]).to(device)
        scores.append(candidates.score(triples).double().cpu().numpy())
        if part.rank_tails:
            tail_ranks.append(ranks_of(candidates.tails(triples), triples[:, TAIL], known_of(tails, some, device)))
        if part.rank_heads:
            head_ranks.append(
                ranks_of(head_scores(candidates, part, some), triples[:, HEAD], known_of(heads, some, device))
            )
    score = np.concatenate(scores)
    return TripleScores(
        score=np.where(np.isfinite(score), score, np.nan),
        tail_ranks=joined_ranks(tail_ranks),
        head_ranks=joined_ranks(head_ranks),
    )


def tails_known(store: TripleStore, part: RankTask) -> list[KnownEnds]:
    """Find the known tails, where tails are ranked."""
    return [known_tails(store, part.triples[:, :2])] if part.rank_tails else []


def heads_known(store: TripleStore, part: RankTask) -> list[KnownEnds]:
    """Find the known heads; where relations have inverses, the training file may have them as tails of these alone."""
    if not part.rank_heads:
        return []
    found = [known_heads(store, part.triples[:, 1:])]
    return found if part.inverse_of is None else [*found, known_tails(store, part.backwards()[:, :2])]


def known_of(ends: Sequence[KnownEnds], some: slice, device: torch.device) -> Known:
    """Bring what is known of some pairs to a device."""
    rows, entities = (torch.from_numpy(index).to(device) for index in known_positions(ends, some))
    return Known(rows=rows, entities=entities)


def head_scores(candidates: Candidates, part: RankTask, some: slice) -> Float[Tensor, "some_test entity"]:
    """Score all heads: as tails of the inverse relation where there is one."""
    triples = part.triples if part.inverse_of is None else part.backwards()
    chosen = torch.from_numpy(triples[some]).to(candidates.model.device)
    return candidates.heads(chosen) if part.inverse_of is None else candidates.tails(chosen)


def ranks_of(scores: Float[Tensor, "some_test entity"], own: Int[Tensor, " some_test"], known: Known) -> EntityRanks:
    """Rank the own entity of each row among all, and among those that are not known."""
    counts = rank_counts(scores, own)
    raw, filtered = (one.realistic.cpu().numpy() for one in (counts, counts.without(known, scores, own)))
    return EntityRanks(raw=raw, filtered=filtered)
