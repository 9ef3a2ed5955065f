"""Bytes that live at once in forward mode, stage by stage: see `DirectionTerms`.

Letters as in `batch_sizes`; t of the T test triples are moved along at a time.
"""

from collections.abc import Iterator

from tracin_dask.influence.conve.batch_sizes import INDEX, BatchSizes
from tracin_dask.influence.conve.regions import Region, Sees
from tracin_dask.influence.conve.weights_memory import through_weights
from tracin_dask.influence.tensors import selected_at_a_time


def moving_stages(of: BatchSizes) -> Iterator[int]:
    """Count what lives in each stage."""
    rows, dim, pairs = of.keys.rows, of.dim, of.keys.pairs
    some = of.tests_at_a_time
    masks = sum(of.num_keys(region) * of.features(region) for region in of.computed)
    again = sum(of.num_keys(region) * of.patches(region) for region in of.computed) if of.storage.recompute else 0
    found = of.after_forward + masks + again + rows * of.num_tests
    yield of.forward_stage
    yield of.after_forward + masks + again + (_widest(of) if of.storage.recompute else 0)
    directions = some * pairs * dim
    for region in of.computed:
        yield found + directions + _region_moves(of, region, some)
    if of.is_preconditioned:
        yield found + directions + through_weights(of)
    yield found + directions + max(of.by_pair(some), _selected(pairs * some, dim))
    yield found + directions + of.by_row(some)
    yield of.scores_stage + rows * of.num_tests


def _widest(of: BatchSizes) -> int:
    return max((of.num_keys(region) * of.features(region) for region in of.computed), default=0)


def _region_moves(of: BatchSizes, region: Region, some: int) -> int:
    """Count moved features of a region, and what is made from them."""
    keys, features, pairs, dim = of.num_keys(region), of.features(region), of.keys.pairs, of.dim
    moved = some * keys * features
    if region.sees is Sees.BOTH:
        return moved + max(some * pairs * dim, _selected(some * pairs, features))
    return some * keys * dim + max(moved, of.by_pair(some))


def _selected(matches: int, width: int) -> int:
    """Count the moves of pairs that have an id of a test triple, and the places of these pairs."""
    return min(matches, selected_at_a_time(matches, width)) * width + INDEX * matches
