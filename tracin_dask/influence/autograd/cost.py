"""What scoring takes with any model, counted before it starts from what one score of it takes."""

from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.cost import ELEMENTWISE, MultiplyAdds, Storage, Workload
from tracin_dask.influence.tiling import Tiling
from tracin_dask.models.scoring import ScoringConfig

DENSE_PASSES = 3
"""Elementwise passes over one triple's dense gradient: it is summed up, written, and laid out for the product."""
IDS_PER_ENTITY = 8
"""Training triples per entity that hold it, a guess: it changes the estimated cost, never a result."""


def choose_modes(config: ScoringConfig, work: Workload, tracked: frozenset[str]) -> GradientModes:
    """Choose the way with the fewest multiply-adds to the products of the dense tensors' gradients."""
    if work.all_scores:
        return GradientModes(all_scores=True, ways=config.ways)
    if config.dense_size(tracked) == 0:
        return GradientModes()
    ways = config.ways
    of_each = GradientModes(has_dense=True, ways=ways)
    if work.num_tests == 0 or not ways.has_forward_mode:
        return of_each
    forward = GradientModes(has_dense=True, forward=True, ways=ways)
    return min((forward, of_each), key=lambda modes: multiply_adds(config, work, tracked, modes).total)


def multiply_adds(config: ScoringConfig, work: Workload, tracked: frozenset[str], modes: GradientModes) -> MultiplyAdds:
    """Count the multiply-adds of a run; how many rows meet a test triple's is guessed."""
    triples = work.num_triples * (1 + work.num_negatives)
    score = _score(config)
    if work.num_tests == 0:
        return own_multiply_adds(config, work, tracked)
    meeting = min(1.0, work.num_tests * (1 / config.num_relations + 2 * IDS_PER_ENTITY / config.num_entities))
    rows = int(triples * meeting)
    width = 2 * config.row_size("entity", tracked) + config.row_size("relation", tracked)
    dense, forward, lower = config.dense_size(tracked), rows * score, rows * 2 * score
    products = rows * width
    if modes.has_dense:
        forward += triples * score
        lower += triples * (2 * score * work.num_tests if modes.forward else 2 * score + _written(dense))
        products += 0 if modes.forward else triples * dense * work.num_tests
    return MultiplyAdds(forward=forward, lower=lower, products=products)


def own_multiply_adds(config: ScoringConfig, work: Workload, tracked: frozenset[str]) -> MultiplyAdds:
    """Count what the length of each training triple's gradient takes, which is a sum where there are negatives."""
    each, score, dense = 1 + work.num_negatives, _score(config), config.dense_size(tracked)
    triples = each * work.num_triples
    width = 2 * config.row_size("entity", tracked) + config.row_size("relation", tracked)
    lower = triples * (2 * score + (2 * score + _written(dense) if dense else 0))
    if work.is_preconditioned:
        lower += triples * ELEMENTWISE * (width + dense)
    return MultiplyAdds(forward=triples * score, lower=lower, products=triples * each * (width + dense))


def _score(config: ScoringConfig) -> int:
    return config.effort.multiply_adds + ELEMENTWISE * config.effort.values


def _written(dense: int) -> int:
    return DENSE_PASSES * ELEMENTWISE * dense


def piece_rows(bytes_per_row: int, tiling: Tiling) -> int:
    """Tell how many rows are differentiated at a time."""
    return max(1, min(tiling.rows, tiling.value_bytes // bytes_per_row))


def directions_at_a_time(config: ScoringConfig, storage: Storage) -> int:
    """Tell along how many test triples' gradients scores move at a time: each has values of its own per call."""
    per_call, tiling = max(1, 2 * storage.itemsize * config.effort.values_per_call), storage.tiling
    return max(1, min(tiling.directions, tiling.value_bytes // per_call))


def row_bytes(config: ScoringConfig, tracked: frozenset[str], itemsize: int) -> int:
    """Bound the bytes of one triple's rows and their gradients, with all intermediate values twice."""
    rows = 2 * sum(t.row_size for t in config.tables if t.role == "entity")
    rows += sum(t.row_size for t in config.tables if t.role == "relation")
    width = 2 * config.row_size("entity", tracked) + config.row_size("relation", tracked)
    return itemsize * (3 * config.effort.values + 3 * rows + 2 * width + 2)


def direction_bytes(config: ScoringConfig, num_tests: int, storage: Storage) -> int:
    """Bound the bytes of one triple's score that moves along test triples' gradients."""
    moving = min(num_tests, directions_at_a_time(config, storage))
    return storage.itemsize * (2 * (1 + moving) * config.effort.values + 2 * num_tests + 2)


def gradient_bytes(config: ScoringConfig, tracked: frozenset[str], itemsize: int) -> int:
    """Bound the bytes of one triple's gradient by the dense tensors."""
    return itemsize * (3 * config.effort.values + 2 * config.dense_size(tracked) + 2)


def model_bytes(config: ScoringConfig, itemsize: int) -> int:
    """Bound the bytes of a model while it is loaded: it is made with other weights first."""
    return 2 * itemsize * config.size


def preconditioner_bytes(config: ScoringConfig, tracked: frozenset[str], itemsize: int) -> int:
    """Count the bytes of P: a number per tracked parameter."""
    return itemsize * config.tracked_size(tracked)


def prepared_bytes(config: ScoringConfig, num_tests: int, tracked: frozenset[str], itemsize: int) -> int:
    """Count the bytes of the prepared test triples, as they are broadcast."""
    width = 2 * config.row_size("entity", tracked) + config.row_size("relation", tracked)
    return num_tests * (itemsize * (width + config.dense_size(tracked) + 1) + 24)


def layout_bytes(config: ScoringConfig, num_tests: int, tracked: frozenset[str], itemsize: int) -> int:
    """Bound the bytes of the look-ups of test triples by their ids, and of their gradients by relation."""
    by_relation = 2 * num_tests * config.row_size("relation", tracked) * itemsize  # filled up to twice as many
    return 4 * (2 * config.num_entities + config.num_relations) + 3 * 16 * num_tests + by_relation


def norm_bytes(config: ScoringConfig, batch_size: int, each: int, tracked: frozenset[str], storage: Storage) -> int:
    """Bound the bytes that live at once for the norms of a batch, where each triple has so many gradients."""
    itemsize = storage.itemsize
    own = row_bytes(config, tracked, itemsize) + gradient_bytes(config, tracked, itemsize)
    held = min(each * batch_size, max(each, piece_rows(own, storage.tiling)))
    return 2 * itemsize * batch_size + held * (own + 3 * each * itemsize)


def batch_bytes(
    config: ScoringConfig,
    batch_size: int,
    num_tests: int,
    tracked: frozenset[str],
    modes: GradientModes,
    *,
    storage: Storage,
) -> int:
    """Bound the bytes that live at once while a batch is scored: its influences, and a piece of it on the way."""
    itemsize = storage.itemsize
    pieces = [row_bytes(config, tracked, itemsize)]
    if modes.has_dense and modes.forward:
        pieces.append(direction_bytes(config, num_tests, storage))
    elif modes.has_dense:
        pieces.append(gradient_bytes(config, tracked, itemsize))
    per_call = 2 * itemsize * config.effort.values_per_call
    if modes.forward:
        per_call *= 1 + min(num_tests, directions_at_a_time(config, storage))
    piece = max(min(batch_size, piece_rows(size, storage.tiling)) * size for size in pieces)
    return influence_bytes(batch_size, num_tests, itemsize) + piece + per_call


def influence_bytes(batch_size: int, num_columns: int, itemsize: int) -> int:
    """Bound the bytes of the influences of a batch, and of the products that are added to them."""
    return batch_size * (4 * max(1, num_columns) * itemsize + 64)
