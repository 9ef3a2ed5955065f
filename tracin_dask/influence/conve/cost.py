"""Multiply-adds and bytes of scoring with the engine for ConvE, counted before a run starts.

Letters: D embedding_dim, F features, P positions, C channels, k taps, T test triples.
"""

import math
from dataclasses import replace

from tracin_dask.influence.conve.jacobians import TABLE_BYTES_AT_A_TIME, table_bytes
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.regions import Region, Sees, regions
from tracin_dask.influence.conve.tensor_names import (
    BELOW_PROJECTION,
    CONVOLUTION,
    ENTITIES,
    ENTITY_BIAS,
    FC,
    FC_WEIGHT,
    RELATIONS,
)
from tracin_dask.influence.cost import ELEMENTWISE, MultiplyAdds, Workload
from tracin_dask.influence.tensors import laid_out
from tracin_dask.influence.tiling import ON_CPU, Tiling
from tracin_dask.models.conve.model import ConvEConfig

MOST_TABLE_BYTES = 256 * 2**20
"""The largest relation table that is used."""
JACOBIAN_PASSES = 6
"""Elementwise passes over a pair's Jacobian: it is reordered, summed over regions, scaled and laid out."""
DIRECTION_PASSES = 4
"""Elementwise passes over a pair's directions: those of all other terms are gathered and added to them."""
OPEN_SHARE = 0.5
"""Share of the units that a ReLU lets through: directions and test triples' features hold only these."""
SHORTEST_LONG_RUN = 8
"""A shorter run does not pay for its own matrix product."""


def choose_modes(config: ConvEConfig, work: Workload, tracked: frozenset[str], tiling: Tiling = ON_CPU) -> Modes:
    """Choose the modes with the fewest multiply-adds, with a relation table if it is small enough."""
    table = any(r.sees is Sees.RELATION for r in regions(config)) and _table_bytes(config, 4) <= MOST_TABLE_BYTES
    if work.num_tests == 0 or not tracked & BELOW_PROJECTION:
        return Modes(all_scores=work.all_scores)
    if work.all_scores:
        return Modes(relation_table=table, all_scores=True)
    ways = [Modes(relation_table=table, forward=True)]
    for head_jacobians in (False, True):
        rows = Modes(relation_table=table, head_jacobians=head_jacobians)
        ways.append(replace(rows, long_run=_long_run(config, work, tracked, rows) if tiling.by_pair else None))
    return min(ways, key=lambda modes: multiply_adds(config, work, tracked, modes).total)


def multiply_adds(config: ConvEConfig, work: Workload, tracked: frozenset[str], modes: Modes) -> MultiplyAdds:
    """Count the multiply-adds of a run.

    Elementwise work and products of shared rows are not counted. Long runs are counted as short ones, because the store
    does not say how many there are: the true number is lower.
    """
    parts = [r for r in regions(config) if not (modes.relation_table and r.sees is Sees.RELATION)]
    overlap = sum(_keys(work, r) * num_features(config, r) for r in parts) if FC_WEIGHT in tracked else 0
    if work.is_preconditioned:
        overlap = int(overlap * config.embedding_dim * (OPEN_SHARE if work.num_tests else 1))
    if work.num_negatives:
        rows = work.num_triples * work.num_negatives
        keys = rows if work.num_tests else rows // 2  # computed beside their triple, half of them have its features
        corrupted = replace(work, num_triples=rows, num_heads=keys, num_pairs=keys, num_negatives=0)
        both = multiply_adds(config, replace(work, num_negatives=0), tracked, modes)
        both += multiply_adds(config, corrupted, tracked, modes)
        return both if work.num_tests else replace(both, products=_own_products(config, work, tracked))
    if modes.forward:
        lower = work.num_tests * sum(_keys(work, r) * _pass(config, r) for r in parts)
        by_row = config.embedding_dim
    else:
        lower = work.num_triples * _lower_per_row(config, work, tracked, modes)
        lower += work.num_meeting * sum(_pass(config, r) for r in parts if r.sees is Sees.BOTH)
        by_row = _width(config, tracked)
    return MultiplyAdds(
        forward=sum(_keys(work, r) * _pass(config, r) for r in parts),
        lower=lower,
        products=max(1, work.num_tests) * (overlap + work.num_triples * by_row),
        scores=_through_entities(config, work, tracked) if modes.all_scores else 0,
    )


def _own_products(config: ConvEConfig, work: Workload, tracked: frozenset[str]) -> int:
    """Count the products of each triple's gradient and those of its corrupted triples with each other."""
    width = _width(config, tracked)
    if FC_WEIGHT in tracked:
        width += config.num_features * (config.embedding_dim if work.is_preconditioned else 1)
    if ENTITIES in tracked:
        width += 4 * config.embedding_dim
    if RELATIONS in tracked:
        width += config.embedding_dim
    return work.num_triples * (1 + work.num_negatives) ** 2 * width


def _through_entities(config: ConvEConfig, work: Workload, tracked: frozenset[str]) -> int:
    """Count the work on the scores of all entities, for a loss that reads them.

    To the scores and back, once per (head, relation) or, where these share nothing, per triple; products with the test
    triples' gradients at all scores, with the entity table's preconditioner between them if there is one; and the
    terms of heads and outputs with the entity table.
    """
    dim, tests = config.embedding_dim, work.num_tests
    rows = work.num_pairs if work.shares_pairs else work.num_triples
    total = rows * config.num_entities * 2 * dim
    columns = tests if work.tests_at_all_scores else 0
    if ENTITIES in tracked and work.is_preconditioned:
        total += rows * config.num_entities * (columns if tests else 1) * dim
    if tracked & {ENTITIES, ENTITY_BIAS}:
        total += rows * config.num_entities * columns
    if ENTITIES in tracked:
        total += tests * dim * (3 * work.num_pairs + work.num_triples)
    return total


def _long_run(config: ConvEConfig, work: Workload, tracked: frozenset[str], modes: Modes) -> int:
    """Find the number of rows of a (head, relation) from which directions cost less than products row by row.

    Either way uses the Jacobians of heads, if the modes have them.
    """
    dim, tests = config.embedding_dim, work.num_tests
    open_units = OPEN_SHARE * dim
    both = sum(num_features(config, r) for r in regions(config) if r.sees is Sees.BOTH)
    moments = num_moments(config) if tracked & CONVOLUTION else 0
    made = 2 * both * (config.num_taps + 1) * dim if moments else 0  # at half the speed of large products
    jacobian = moments * (dim * JACOBIAN_PASSES * ELEMENTWISE + open_units * tests) + made
    directions = jacobian + open_units * tests * DIRECTION_PASSES * ELEMENTWISE
    by_row = _lower_per_row(config, replace(work, num_heads=0), tracked, modes) + tests * _width(config, tracked)
    saved = by_row - tests * open_units
    return max(SHORTEST_LONG_RUN, math.ceil(directions / max(1, saved)))


def _lower_per_row(config: ConvEConfig, work: Workload, tracked: frozenset[str], modes: Modes) -> int:
    """Count the backward pass through the feature map, per training triple on average."""
    to_heads = modes.all_scores and ENTITIES in tracked
    if not (tracked & CONVOLUTION or to_heads):
        return 0
    dim, total = config.embedding_dim, 0
    for region in regions(config):
        if to_heads and region.sees is not Sees.RELATION:
            total += num_features(config, region) * config.num_taps
        elif not tracked & CONVOLUTION:
            continue
        if modes.relation_table and region.sees is Sees.RELATION:
            total += dim * num_moments(config)
        elif modes.head_jacobians and region.sees is Sees.HEAD:
            jacobians = work.num_heads * num_features(config, region) * (config.num_taps + 1) * dim
            total += jacobians // work.num_triples + dim * num_moments(config)
        else:
            total += _pass(config, region)
    return total


def _width(config: ConvEConfig, tracked: frozenset[str]) -> int:
    """Count the multiply-adds of one pair of a training and a test triple, row by row."""
    vectors = bool(tracked & FC) + ("bn2.bias" in tracked) + ("bn2.weight" in tracked)
    return vectors * config.embedding_dim + (num_moments(config) if tracked & CONVOLUTION else 0)


def _keys(work: Workload, region: Region) -> int:
    """Count how often a region's features are computed; almost every batch has every relation."""
    return work.num_heads if region.sees is Sees.HEAD else work.num_pairs


def num_moments(config: ConvEConfig) -> int:
    """Count the moments (G, S) of a gradient."""
    return (config.num_taps + 1) * config.output_channels


def num_features(config: ConvEConfig, region: Region) -> int:
    """Count the features of a region for one key."""
    return region.num_positions * config.output_channels


def _pass(config: ConvEConfig, region: Region) -> int:
    """Count a region's convolution and projection, forward or backward, of one key or row."""
    return num_features(config, region) * (config.num_taps + 1 + config.embedding_dim)


def _table_bytes(config: ConvEConfig, itemsize: int) -> int:
    features = sum(num_features(config, r) for r in regions(config) if r.sees is Sees.RELATION)
    return table_bytes(config.num_relations, config.embedding_dim, num_moments(config), features, itemsize)


def prepared_bytes(config: ConvEConfig, num_tests: int, itemsize: int) -> int:
    """Count the bytes of the prepared test triples that are broadcast."""
    return num_tests * (itemsize * (config.num_features + num_moments(config) + 6 * config.embedding_dim + 2) + 25)


def layout_bytes(config: ConvEConfig, num_tests: int, itemsize: int, modes: Modes, *, tiling: Tiling = ON_CPU) -> int:
    """Bound the bytes of a worker's layout: the test triples' side of every product, look-ups and the relation table.

    The test side has whole steps of columns. While it is made, the test triples' own moves hold one region's patches
    and features, and the relation table its last Jacobians.
    """
    vectors = config.num_features + 3 * num_moments(config) + 12 * config.embedding_dim
    vectors += 0 if modes.forward else 4 * config.embedding_dim  # by relation, filled up to twice as many
    if modes.forward:  # moved images
        vectors += 3 * sum(num_features(config, region) for region in regions(config) if region.sees is Sees.BOTH)
    widest = max(region.num_positions for region in regions(config))
    moves = widest * (2 * (config.num_taps + 1) + 4 * config.output_channels)
    look_ups = 2 * 4 * config.num_entities + 4 * config.num_relations
    total = laid_out(num_tests) * itemsize * (vectors + moves) + look_ups
    if modes.relation_table:
        table = _table_bytes(config, itemsize)
        known = config.num_relations * num_tests * itemsize
        total += 2 * table + 2 * min(table, TABLE_BYTES_AT_A_TIME)
        total += known * (2 * config.embedding_dim if modes.forward else 1)
    if modes.all_scores:
        scores = config.num_entities * num_tests * itemsize
        total += scores + 2 * min(scores, tiling.score_bytes)
    return total
