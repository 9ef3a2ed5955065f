"""What ranks of test triples take: time, counted as a plan counts it."""

from dataclasses import dataclass

from tracin_dask.influence.cost import ELEMENTWISE
from tracin_dask.models.config import ModelConfig
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.ranking.pieces import entity_row, relation_row
from tracin_dask.models.scoring import ScoringConfig
from tracin_dask.runs.plan.plan import MULTIPLY_ADDS_PER_SECOND
from tracin_dask.runs.predictions.memory import KNOWN_BYTES
from tracin_dask.triples.known_ends import known_ends_bytes

MOST_TESTS = 1024
PART_SECONDS = 30.0
"""Work of one CPU thread that a part has at most, unless one triple has more."""
SCANNED_PER_SECOND = 4e6
"""Training triples that are gone through for known heads."""
COMPARED = 16
"""Elementwise passes over the scores of all candidates while they are counted."""
PASSES = 10
"""Elementwise passes over the rows that scores read, where a model combines them number by number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCost:
    """Seconds of one CPU thread, by what is ranked."""

    tails_of_one: float
    """Of the tails of one test triple."""
    heads_of_one: float
    scan: float
    """Of one pass over the training triples, for known heads."""


def rank_cost(config: ModelConfig, num_triples: int, *, tails_at_once: bool, heads_by_tails: bool) -> RankCost:
    """Count what a test triple takes.

    `tails_at_once` says that the model scores all tails in one call, `heads_by_tails` that heads are ranked as the
    tails of inverse relations.
    """
    tails = _operations(config, at_once=tails_at_once) / MULTIPLY_ADDS_PER_SECOND
    heads = tails if heads_by_tails else _operations(config, at_once=False) / MULTIPLY_ADDS_PER_SECOND
    return RankCost(tails_of_one=tails, heads_of_one=heads, scan=num_triples / SCANNED_PER_SECOND)


def tests_at_a_time(seconds_of_one: float, num_entities: int) -> int:
    """Choose the size of a part: a bounded time, and bounded memory for what is known."""
    fitting = KNOWN_BYTES // known_ends_bytes(1, num_entities)
    return max(1, min(MOST_TESTS, fitting, int(PART_SECONDS / seconds_of_one)))


def _operations(config: ModelConfig, *, at_once: bool) -> int:
    """Count the multiply-adds of the scores of all candidates of one triple; comparing takes elementwise passes."""
    compared = COMPARED * ELEMENTWISE * config.num_entities
    match config:
        case ConvEConfig():
            dim, features = config.embedding_dim, config.num_features
            return compared + config.num_entities * dim + features * (config.num_taps + dim + ELEMENTWISE)
        case ScoringConfig():
            row = PASSES * ELEMENTWISE * entity_row(config)
            one = config.effort.multiply_adds + ELEMENTWISE * config.effort.values
            one += 2 * row + PASSES * ELEMENTWISE * relation_row(config)
            return compared + (one + config.num_entities * row if at_once else config.num_entities * one)
    raise TypeError(f"{type(config).__name__} is the configuration of no model that can be ranked")
