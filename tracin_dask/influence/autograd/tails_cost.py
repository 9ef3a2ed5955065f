"""What the scores of all tails take with any model, counted before they are computed."""

from dataclasses import dataclass

from tracin_dask.influence.autograd.cost import influence_bytes
from tracin_dask.influence.cost import ELEMENTWISE, MultiplyAdds, Storage, Workload
from tracin_dask.models.scoring import Effort, ScoringConfig

_NO_EFFORT = Effort(multiply_adds=0, values=0, values_per_call=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """How much is computed at a time, so that its scores of all tails take no more than they may."""

    columns: int
    """Columns along which scores move."""
    pairs: int
    """Pairs (head, relation)."""
    rows: int
    """Training triples of these pairs."""


def pieces(config: ScoringConfig, num_columns: int, storage: Storage) -> Pieces:
    """Choose the pieces: at least one of each, however many entities there are."""
    itemsize, tiling = storage.itemsize, storage.tiling
    scores = config.num_entities * itemsize
    pair = scores + itemsize * _effort(config).values
    columns = max(
        1, min(num_columns, tiling.directions, tiling.value_bytes // (2 * pair + _per_call(config, itemsize)))
    )
    return Pieces(
        columns=columns,
        pairs=max(1, min(tiling.rows, tiling.value_bytes // (2 * (1 + columns) * pair))),
        rows=max(1, min(tiling.rows, tiling.value_bytes // ((3 + columns) * scores))),
    )


def tails_multiply_adds(config: ScoringConfig, work: Workload, tracked: frozenset[str]) -> MultiplyAdds:
    """Count the multiply-adds of a run: scores of all tails move once per pair and column."""
    if work.num_tests == 0:
        return tails_own_multiply_adds(config, work, tracked)
    pair = _pair(config)
    return MultiplyAdds(
        forward=work.num_pairs * pair,
        lower=2 * work.num_pairs * pair * work.num_tests,
        products=work.num_triples * config.num_entities * (work.num_tests + ELEMENTWISE),
    )


def tails_own_multiply_adds(config: ScoringConfig, work: Workload, tracked: frozenset[str]) -> MultiplyAdds:
    """Count what the length of each training triple's gradient takes: it fills all tracked tensors."""
    size = config.tracked_size(tracked)
    return MultiplyAdds(
        forward=work.num_triples * _pair(config),
        lower=work.num_triples * (2 * _pair(config) + ELEMENTWISE * size),
        products=work.num_triples * size,
    )


def tails_prepared_bytes(config: ScoringConfig, num_columns: int, tracked: frozenset[str], itemsize: int) -> int:
    """Count the bytes of the columns: each is a gradient by all tracked tensors."""
    return num_columns * itemsize * (config.tracked_size(tracked) + 1)


def tails_batch_bytes(config: ScoringConfig, batch_size: int, num_columns: int, storage: Storage) -> int:
    """Bound the bytes that live at once while a batch is scored."""
    size, itemsize = pieces(config, num_columns, storage), storage.itemsize
    pair = itemsize * (config.num_entities + _effort(config).values)
    moving = 2 * (1 + size.columns) * size.pairs * pair + (1 + size.columns) * 2 * _per_call(config, itemsize)
    return (
        moving
        + (3 + size.columns) * size.rows * config.num_entities * itemsize
        + influence_bytes(batch_size, num_columns, itemsize)
    )


def whole_gradients_at_a_time(config: ScoringConfig, tracked: frozenset[str], storage: Storage) -> int:
    """Tell how many gradients by whole tensors are made in one call: at least one."""
    return max(
        1, min(storage.tiling.rows, storage.tiling.gradient_bytes // _whole_bytes(config, tracked, storage.itemsize))
    )


def tails_norm_bytes(config: ScoringConfig, batch_size: int, tracked: frozenset[str], storage: Storage) -> int:
    """Bound the bytes that live at once for the norms of a batch: a piece of its gradients, and P times these."""
    made = min(batch_size, whole_gradients_at_a_time(config, tracked, storage))
    return made * _whole_bytes(config, tracked, storage.itemsize) + 16 * batch_size


def _whole_bytes(config: ScoringConfig, tracked: frozenset[str], itemsize: int) -> int:
    """Bound the bytes of one triple's gradient by whole tensors: on its way back through the scores, and times P."""
    effort = _effort(config)
    values = config.num_entities + effort.values + effort.values_per_call
    return itemsize * (4 * config.tracked_size(tracked) + 3 * values)


def _effort(config: ScoringConfig) -> Effort:
    return config.tails_effort or _NO_EFFORT


def _per_call(config: ScoringConfig, itemsize: int) -> int:
    return itemsize * _effort(config).values_per_call


def _pair(config: ScoringConfig) -> int:
    """Count the multiply-adds of the scores of all tails of one pair, elementwise work included."""
    effort = _effort(config)
    return effort.multiply_adds + ELEMENTWISE * (effort.values + config.num_entities)
