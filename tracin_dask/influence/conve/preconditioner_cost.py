"""Bytes that a preconditioner adds to scoring with the engine for ConvE."""

from tracin_dask.influence.conve.cost import move_bytes
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.regions import regions
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, FC_WEIGHT, RELATIONS
from tracin_dask.influence.cost import Storage
from tracin_dask.models.conve.model import ConvEConfig


def preconditioner_bytes(config: ConvEConfig, tracked: frozenset[str], itemsize: int) -> int:
    """Bound the bytes of P: one number per parameter, and fc.weight's in two orders while they are laid out."""
    dim = config.embedding_dim
    sizes = {
        ENTITIES: config.num_entities * dim,
        RELATIONS: config.num_relations * dim,
        ENTITY_BIAS: config.num_entities,
        FC_WEIGHT: config.num_features * (2 * dim + 4),
    }
    others = 4 * dim + (config.num_taps + 4) * config.output_channels
    return itemsize * (sum(size for name, size in sizes.items() if name in tracked) + others)


def preconditioned_layout_bytes(config: ConvEConfig, num_tests: int, itemsize: int, modes: Modes) -> int:
    """Bound the bytes of P times the test triples' factors, and of their open features with their places.

    With a relation table, its features are multiplied with these in advance.
    """
    dim = config.embedding_dim
    of_a_test = 6 * dim + 1 + 3 * config.num_features
    if modes.relation_table:
        of_a_test += 2 * config.num_relations * dim
    if modes.all_scores and config.has_entity_bias:
        of_a_test += config.num_entities
    return itemsize * num_tests * of_a_test


def preconditioned_batch_bytes(
    config: ConvEConfig,
    batch_size: int,
    num_tests: int,
    modes: Modes,
    storage: Storage,
) -> int:
    """Bound the bytes of a batch's products with P: some vectors, and products of one region's features.

    With `recompute`, these products hold the features of all regions. With test triples, the open half of one region's
    features goes through P for some of them at a time. A loss of all scores holds one tile of squared gradients, or P
    times some test triples' outputs for every entity of a tile, and what a batch's gradients make of these.
    """
    dim, channels = config.embedding_dim, config.output_channels
    widest = max(region.num_positions for region in regions(config)) * channels
    recomputed = config.num_positions * channels if storage.recompute else 0
    total = batch_size * storage.itemsize * (recomputed + 6 * dim)
    if modes.forward:  # which holds as many features in another step
        moving = [dim * widest, batch_size * dim]
    elif num_tests:
        moving = [dim * widest, batch_size * widest, batch_size * dim, batch_size * dim]
    else:
        moving = [batch_size * widest]
    total += sum(move_bytes(numbers, num_tests, storage) for numbers in moving)
    if modes.all_scores:
        tile = min(storage.tiling.score_bytes, max(batch_size, dim) * config.num_entities * storage.itemsize)
        fewer, more = sorted((batch_size, tile // (max(batch_size, dim) * storage.itemsize)))
        of_tests = move_bytes(more * dim, num_tests, storage) if num_tests else 0
        total += max(0 if num_tests else tile, of_tests + of_tests * fewer // more)
    return total
