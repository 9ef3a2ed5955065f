"""How many triples, and scores of their candidates, are computed at a time: bounded memory for any model."""

from dataclasses import dataclass

from tracin_dask.models.config import ModelConfig
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.scoring import ScoringConfig

SCORE_BYTES = 64 * 2**20
"""Scores of all candidates that are held at a time; never fewer than one triple's."""
ROW_BYTES = 32 * 2**20
"""Rows of entities that a model may combine with its triples in one call, ..."""
MOST_ROW_BYTES = 128 * 2**20
"""... and those that it may combine with a single (head, relation) for the scores of all tails."""
MOST_TRIPLES = 256
"""Triples whose candidates are scored at a time."""
MOST_SCORES = 65_536
"""Scores of single triples that are computed at a time."""
COPIES = 4
"""Arrays of this size that a call holds at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """The sizes of the pieces, and the bytes that they take."""

    triples: int
    """Triples whose candidates are scored at a time."""
    scores: int
    """Scores of single triples that are computed at a time."""
    at_once: bool
    """Whether there is room for the scores of all tails in one call."""
    num_bytes: int


def pieces_of(config: ModelConfig, itemsize: int) -> Pieces:
    """Choose the sizes by the model alone, so that scores are equal bit for bit wherever they are computed."""
    score = config.num_entities * (itemsize + COPIES)  # the scores, and masks of one byte each
    triples = max(1, min(MOST_TRIPLES, SCORE_BYTES // score))
    match config:
        case ScoringConfig():
            return _of_any_model(config, itemsize, triples)
        case ConvEConfig():
            features = COPIES * itemsize * config.num_features
            return Pieces(triples=triples, scores=MOST_TRIPLES, at_once=True, num_bytes=triples * (score + features))
    raise TypeError(f"{type(config).__name__} is the configuration of no model that can be ranked")


def _of_any_model(config: ScoringConfig, itemsize: int, triples: int) -> Pieces:
    """Bound also the rows of all entities, which a model may combine with each (head, relation)."""
    rows = config.num_entities * itemsize * max(1, entity_row(config))
    at_once = rows <= MOST_ROW_BYTES
    triples = max(1, min(triples, ROW_BYTES // rows))
    each = itemsize * (config.effort.values + 2 * entity_row(config) + relation_row(config) + 1)
    scores = max(1, min(MOST_SCORES, ROW_BYTES // each))
    held = COPIES * max(triples * rows if at_once else 0, scores * each) + config.effort.values_per_call * itemsize
    return Pieces(
        triples=triples,
        scores=scores,
        at_once=at_once,
        num_bytes=held + triples * config.num_entities * (itemsize + COPIES),
    )


def entity_row(config: ScoringConfig) -> int:
    """Count the numbers of all tables' rows of one entity."""
    return sum(table.row_size for table in config.tables if table.role == "entity")


def relation_row(config: ScoringConfig) -> int:
    """Count the numbers of all tables' rows of one relation."""
    return sum(table.row_size for table in config.tables if table.role == "relation")
