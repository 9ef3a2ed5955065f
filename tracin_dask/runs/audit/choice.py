"""Which influences a run computes once more: the leaders of some reported lists, others of these, and random rows."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.reductions.topk import Ranking
from tracin_dask.runs.audit.limits import DEFAULT_ROWS, LEAST_SECONDS, MOST_ANSWERS, SHARE_OF_TIME, TRIES
from tracin_dask.runs.prepare import PreparedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Training triples of a reported list, with the influences that the list states."""

    triples: Int[ndarray, "entry 3"]
    influence: Float[ndarray, " entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What an audit may compare, in the order in which it tries."""

    num_rows: int
    """Training triples that are wanted."""
    listed: Mapping[int, Listed]
    """By the answers to try."""
    rows: Int[ndarray, " row"]
    """Random rows of the store."""
    seconds: float
    """The time that it may take; infinite where the number is stated."""


def choose(prepared: PreparedRun, rankings: Sequence[Ranking], run_seconds: float) -> Chosen:
    """Choose what to compare; the same run chooses the same."""
    stated, random = prepared.config.computing.audit, np.random.default_rng(_seed(prepared))
    number = DEFAULT_ROWS if stated is None else stated
    answers = random.permutation(len(rankings))[: MOST_ANSWERS * TRIES]
    return Chosen(
        num_rows=number,
        listed={int(answer): _some(rankings[answer], number * TRIES, random) for answer in answers},
        rows=random.integers(prepared.store.info.num_triples, size=number * TRIES),
        seconds=max(LEAST_SECONDS, SHARE_OF_TIME * run_seconds) if stated is None else math.inf,
    )


def _some(ranking: Ranking, number: int, random: np.random.Generator) -> Listed:
    """Take the first entry of a list, and others at random."""
    order = [0, *random.permutation(np.arange(1, len(ranking)))[: number - 1]] if len(ranking) else []
    entries = ranking.take(np.array(order, dtype=np.int64))
    return Listed(triples=entries.triples, influence=entries.influence)


def _seed(prepared: PreparedRun) -> int:
    asked = "" if prepared.targets is None else prepared.targets.identity
    return int.from_bytes(hashlib.sha256(f"{prepared.store.info.fingerprint}{asked}".encode()).digest()[:8], "big")
