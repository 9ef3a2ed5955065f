"""Multiply-adds and bytes of the norms of training triples' gradients, counted before a run starts."""

from collections.abc import Iterator
from dataclasses import replace

from tracin_dask.influence.conve import cost
from tracin_dask.influence.conve.all_scores_memory import reading
from tracin_dask.influence.conve.batch_sizes import BatchSizes
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.row_memory import lower_numbers, lower_stages
from tracin_dask.influence.conve.tensor_names import CONVOLUTION
from tracin_dask.influence.cost import Keys, MultiplyAdds, Storage, Workload
from tracin_dask.models.conve.model import ConvEConfig

WAITING = 10
"""Numbers of a row: squared lengths of its gradient, in float64, and what is made of them."""
MOVED = 4
"""Numbers of the ids of a tail that is not its pair's, and of the pair's."""
GROUPED = 6
"""Numbers of the ids of a gradient of a group; and its places in index arrays."""


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

    `keys` are those of the batch; where test triples are scored, too, those of the triples made from it included.
    """
    rows, held = _held(keys if work.shares_pairs else replace(keys, pairs=keys.rows), work, storage)
    modes, alone = _modes(work), replace(work, num_tests=0)
    of = BatchSizes.of(config, held, 0, modes, storage, is_preconditioned=work.is_preconditioned)
    return storage.itemsize * (WAITING * rows + max(_stages(of, alone)))


def norm_index_bytes(config: ConvEConfig, keys: Keys, work: Workload, storage: Storage) -> int:
    """Bound the index arrays of the norms of a batch, which are there while it is scored, too."""
    if work.num_negatives and not work.num_tests:
        keys = keys.with_corrupted(work.num_negatives)
    of_groups = 8 * GROUPED * keys.rows if work.num_negatives else 0
    return of_groups + BatchSizes.of(config, keys, 0, _modes(work), storage).index_bytes


def _held(keys: Keys, work: Workload, storage: Storage) -> tuple[int, Keys]:
    """Count the triples of a batch, and the keys of the gradients that are held at a time."""
    each = 1 + work.num_negatives
    if each == 1:
        return keys.rows, keys
    most = max(1, storage.tiling.gradients // each)
    if work.num_tests:
        rows = keys.rows // each
        return rows, keys if rows <= most else Keys.all_distinct(each * most)
    some = Keys(rows=min(keys.rows, most), heads=min(keys.heads, most), pairs=min(keys.pairs, most))
    return keys.rows, some.with_corrupted(work.num_negatives)


def _stages(of: BatchSizes, work: Workload) -> Iterator[int]:
    """Count what lives in each stage of `squared_norms`, or of `products_within`."""
    rows, dim, pairs = of.keys.rows, of.dim, of.keys.pairs
    yield of.forward_stage
    found = of.after_forward - rows * dim
    if work.all_scores:
        yield of.scores_stage
        yield found + (rows + pairs) * dim + reading(of, pairs, 3, is_separable=work.shares_pairs)
        found += pairs * dim + MOVED * rows
        yield found + 4 * rows * dim
    else:
        yield of.scores_stage + 3 * rows * dim
    found += 3 * rows * dim
    yield from lower_stages(of, found, every_row=True)
    lower = found + lower_numbers(of) + 4 * rows  # sums, and δ
    yield from _groups(of, lower, 1 + work.num_negatives) if work.num_negatives else _squares(of, lower)


def _squares(of: BatchSizes, lower: int) -> Iterator[int]:
    """Count what lives while gradients meet themselves."""
    rows, dim, parameters = of.keys.rows, of.dim, _convolution_parameters(of.config)
    widest = max(of.num_keys(region) * of.features(region) for region in of.computed)
    times = 3 * dim if of.is_preconditioned else 0
    yield lower + rows * times + (rows + of.moments) * parameters
    yield lower + rows * times + of.recomputed + widest + 3 * max(of.keys.pairs, rows) * dim
    beside = (
        parameters
        + (3 if of.is_preconditioned else 2) * (2 * dim + parameters)
        + (times + parameters if of.is_preconditioned else 0)
    )
    yield lower + rows * beside
    yield lower + rows * (5 * dim + (times + 5 * dim if of.is_preconditioned else 0))


def _groups(of: BatchSizes, lower: int, each: int) -> Iterator[int]:
    """Count what lives while gradients meet those of their group: copies of them, group by group.

    Where all products are in float64, so are these copies.
    """
    rows, dim, parameters = of.keys.rows, of.dim, _convolution_parameters(of.config)
    wide = 1 if of.storage.tiling.by_pair else 8 // of.storage.itemsize
    typed = wide if wide > 1 else 0
    sides = 2 if of.is_preconditioned else 1
    yield lower + rows * (3 * dim * (1 + wide) + dim + GROUPED + 3 * dim * typed)
    copies = lower + rows * (GROUPED + wide * (sides * 6 * dim + parameters + 2 * each))
    yield copies + 2 * rows * parameters
    if of.is_preconditioned:
        yield copies + of.recomputed + rows * of.config.num_features * (2 + typed + wide)
    else:
        widest = max(map(of.features, of.computed))
        yield copies + of.recomputed + rows * widest * (1 + typed)
    yield copies + wide * rows * sides * (2 * dim + parameters)
    yield copies + wide * rows * (sides * 2 * dim + 5 * each)


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
