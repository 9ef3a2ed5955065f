"""The entities that a model scores highest as the tail of a (head, relation), or the head of a (relation, tail)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.ranking.candidates import HEAD, TAIL, Candidates
from tracin_dask.models.ranking.counts import Known
from tracin_dask.report.predictions import EntityRanks
from tracin_dask.runs.predictions.choice import NO_INVERSES
from tracin_dask.runs.predictions.compute import head_scores, heads_known, ranks_of, tails_known
from tracin_dask.runs.predictions.here import candidates_here
from tracin_dask.runs.predictions.task import RankTask, joined_ranks
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.triples.inverse_relations import inverses_of
from tracin_dask.triples.known_ends import known_positions
from tracin_dask.triples.store import TripleStore

Role = Literal["tail", "head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedEnds:
    """Which end is looked for, and what the other end and the relation are."""

    role: Role
    entity: int
    relation: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Among:
    """Which entities are listed, and how many of them."""

    top: int
    entities: Bool[ndarray, " entity"] | None = None
    """None for all."""
    keep_known: bool = False
    """List the ends of training triples, too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BestEnds:
    """The triples with the best ends, the best one first; of equal scores, the lowest id."""

    asked: AskedEnds
    triples: Int[ndarray, "place 3"]
    score: Float[ndarray, " place"]
    """NaN where a score is not finite. Heads as tails of inverse relations have the scores of these triples."""
    ranks: EntityRanks
    """Among all entities, whichever are listed."""
    is_known: Bool[ndarray, " place"]
    """Whether each is a training triple, or its inverse is one."""
    num_candidates: int
    """Entities that could have been listed."""


def best_ends(prepared: PreparedRun, asked: Sequence[AskedEnds], among: Among) -> list[BestEnds]:
    """Score all entities for each question, and list the best.

    Raises
    ------
    ConfigError
        If heads are asked of a model that cannot score them.
    """
    inverse_of = inverses_of(prepared.store.relations)
    no_heads = isinstance(prepared.checkpoints[-1].config, ConvEConfig) and inverse_of is None
    if no_heads and any(one.role == "head" for one in asked):
        raise ConfigError(
            f"--heads-of: {NO_INVERSES}; ask for tails with --tails-of, or train a model with inverse relations"
        )
    with candidates_here(prepared) as candidates:
        return [_best(candidates, prepared.store, _task(one, inverse_of), one, among) for one in asked]


def _task(asked: AskedEnds, inverse_of: Int[ndarray, " relation"] | None) -> RankTask:
    """Write a question as a triple; the end that is looked for may be any entity."""
    is_tail = asked.role == "tail"
    triple = [asked.entity, asked.relation, 0] if is_tail else [0, asked.relation, asked.entity]
    return RankTask(triples=np.array([triple]), rank_tails=is_tail, rank_heads=not is_tail, inverse_of=inverse_of)


def _best(candidates: Candidates, store: TripleStore, task: RankTask, asked: AskedEnds, among: Among) -> BestEnds:
    some = slice(0, 1)
    if asked.role == "tail":
        scores = candidates.tails(torch.from_numpy(task.triples).to(candidates.model.device))
        ends, column = tails_known(store, task), TAIL
    else:
        scores, ends, column = head_scores(candidates, task, some), heads_known(store, task), HEAD
    _, known = known_positions(ends, some)
    is_known = np.zeros(scores.shape[1], dtype=bool)
    is_known[known] = True
    may_be_listed = np.ones(len(is_known), dtype=bool) if among.entities is None else among.entities.copy()
    may_be_listed &= among.keep_known | ~is_known
    score = scores[0].double().cpu().numpy()
    listed = np.flatnonzero(may_be_listed)
    listed = listed[np.argsort(-np.nan_to_num(score[listed], nan=-np.inf), kind="stable")[: among.top]]
    triples = np.repeat(task.triples, len(listed), axis=0)
    triples[:, column] = listed
    own = score[listed]
    if asked.role == "tail" or task.inverse_of is None:  # to the last bit as those of given triples
        own = candidates.score(torch.from_numpy(triples).to(scores.device)).double().cpu().numpy()
    return BestEnds(
        asked=asked,
        triples=triples,
        score=np.where(np.isfinite(own), own, np.nan),
        ranks=_ranks(scores, listed, known, candidates.pieces.triples),
        is_known=is_known[listed],
        num_candidates=int(may_be_listed.sum()),
    )


def _ranks(
    scores: Float[Tensor, "1 entity"], listed: Int[ndarray, " place"], known: Int[ndarray, " known"], size: int
) -> EntityRanks:
    """Rank the listed entities among all, as a run ranks the end of a test triple; some at a time."""
    found = []
    for start in range(0, len(listed), size):
        own = torch.from_numpy(listed[start : start + size]).to(scores.device)
        rows, entities = np.divmod(np.arange(len(own) * len(known)), max(len(known), 1))
        theirs = Known(
            rows=torch.from_numpy(rows).to(scores.device),
            entities=torch.from_numpy(known[entities]).to(scores.device),
        )
        found.append(ranks_of(scores.expand(len(own), -1), own, theirs))
    none = np.empty(0)
    return joined_ranks(found) or EntityRanks(filtered=none, raw=none)
