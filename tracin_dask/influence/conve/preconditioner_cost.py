"""Bytes that a preconditioner adds to scoring with the engine for ConvE."""

from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.tensor_names import ENTITIES, ENTITY_BIAS, FC_WEIGHT, RELATIONS
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
