"""Multiply-adds and bytes of the norms of training triples' gradients, counted before a run starts."""

from collections.abc import Iterator
from dataclasses import replace

from tracin_dask.influence.conve import cost
from tracin_dask.influence.conve.all_scores_memory import reading
from tracin_dask.influence.conve.batch_sizes import BatchSizes
from tracin_dask.influence.conve.engine import GRADIENTS_AT_A_TIME
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.row_memory import lower_numbers, lower_stages
from tracin_dask.influence.conve.tensor_names import CONVOLUTION
from tracin_dask.influence.cost import Keys, MultiplyAdds, Storage, Workload
from tracin_dask.models.conve.model import ConvEConfig

WAITING = 10
"""Numbers of a row: squared lengths of its gradient, in float64, and what is made of them."""


def norm_multiply_adds(config: ConvEConfig, work: Workload, tracked: frozenset[str]) -> MultiplyAdds:
    """Count the multiply-adds: every training triple takes the whole backward pass, whatever tensors are tracked."""
    own, modes, every = replace(work, num_tests=0), _modes(work), frozenset(config.parameter_names)
    counted = cost.multiply_adds(config, own, tracked, modes)
    back = cost.multiply_adds(config, own, every, modes).lower
    gradients = (1 + work.num_negatives) * work.num_triples
    to_tensors = gradients * _moments_to_tensors(config) if tracked & CONVOLUTION else 0
    return replace(counted, lower=back + to_tensors)


def norm_bytes(config: ConvEConfig, keys: Keys, work: Workload, storage: Storage) -> int:
    """Bound the peak bytes of the norms of a batch without its index arrays; some numbers per row wait for its scores.

    A loss with several gradients per triple takes some triples at a time, and holds their features twice.
    """
    waiting = WAITING * keys.rows
    each = 1 + work.num_negatives
    if work.num_negatives:
        held = min(each * keys.rows, max(each, GRADIENTS_AT_A_TIME))
        keys, waiting = Keys.all_distinct(held), waiting + 2 * held * (config.num_features + each * each)
    modes, alone = _modes(work), replace(work, num_tests=0)
    of = BatchSizes.of(config, keys, 0, modes, storage, is_preconditioned=work.is_preconditioned)
    return storage.itemsize * (waiting + max(_stages(of, alone)))


def norm_index_bytes(config: ConvEConfig, keys: Keys, work: Workload, storage: Storage) -> int:
    """Bound the index arrays of the norms of a batch, which are there while it is scored, too."""
    if work.num_negatives:
        keys = Keys.all_distinct((1 + work.num_negatives) * keys.rows)
    return BatchSizes.of(config, keys, 0, _modes(work), storage).index_bytes


def _stages(of: BatchSizes, work: Workload) -> Iterator[int]:
    """Count what lives in each stage of `squared_norms`."""
    rows, dim, pairs, parameters = of.keys.rows, of.dim, of.keys.pairs, _convolution_parameters(of.config)
    yield of.forward_stage
    found = of.after_forward - rows * dim
    if work.all_scores:
        yield found + 2 * rows * dim + reading(of, rows, 3, is_separable=work.shares_pairs)
        found += rows * dim
        yield found + 4 * rows * dim
    else:
        yield of.scores_stage + 3 * rows * dim
    found += 3 * rows * dim
    yield from lower_stages(of, found, every_row=True)
    lower = found + lower_numbers(of) + 4 * rows  # sums, and δ
    widest = max(of.num_keys(region) * of.features(region) for region in of.computed)
    times = 3 * dim if of.is_preconditioned else 0
    yield lower + rows * times + (rows + of.moments) * parameters
    yield lower + rows * times + of.recomputed + widest + 3 * max(pairs, rows) * dim
    beside = parameters + 3 * (2 * dim + parameters) + (times + parameters if of.is_preconditioned else 0)
    yield lower + rows * beside
    yield lower + rows * (4 * dim + (times + 5 * dim if of.is_preconditioned else 0))


def _modes(work: Workload) -> Modes:
    """Give the modes of norms: each triple is computed by itself."""
    return Modes(all_scores=work.all_scores)


def _convolution_parameters(config: ConvEConfig) -> int:
    """Count the parameters of bn0, conv1 and bn1."""
    return config.output_channels * (config.num_taps + 3) + 2


def _moments_to_tensors(config: ConvEConfig) -> int:
    """Count the map from one triple's moments to the gradients of bn0, conv1 and bn1; it matters in small models."""
    moments = (config.num_taps + 1) * config.output_channels
    return moments * (moments + 2 * config.output_channels + 2)
