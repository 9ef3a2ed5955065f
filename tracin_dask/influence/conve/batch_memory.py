"""Bytes that live at once while a batch is scored with the engine for ConvE: those of the largest stage.

The numbers follow the tensors of `Scorer` one by one; letters as in `batch_sizes`.
"""

from collections.abc import Iterator

from tracin_dask.influence.conve.all_scores_memory import all_scores_stages
from tracin_dask.influence.conve.batch_sizes import BatchSizes
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.moving_memory import moving_stages
from tracin_dask.influence.conve.regions import Sees
from tracin_dask.influence.conve.row_memory import masked_numbers, row_stages
from tracin_dask.influence.cost import Keys, Storage, Workload
from tracin_dask.influence.tensors import laid_out
from tracin_dask.models.conve.model import ConvEConfig


def batch_bytes(
    config: ConvEConfig,
    keys: Keys,
    work: Workload,
    modes: Modes,
    storage: Storage,
) -> int:
    """Bound the peak bytes of scoring one batch without its index arrays.

    With `recompute`, the activations of one region are held at a time. The bound for
    long runs assumes as many of them as the rows allow, which may be several times too many.
    """
    columns = work.num_tests if modes.forward else laid_out(work.num_tests)
    of = BatchSizes.of(config, keys, columns, modes, storage, is_preconditioned=work.is_preconditioned)
    if modes.all_scores:
        stages = list(all_scores_stages(of, is_separable=work.shares_pairs))
    else:
        stages = list(moving_stages(of) if modes.forward else row_stages(of))
        stages += _long_stages(of) if modes.long_run else []
    return storage.itemsize * max(stages)


def index_bytes(config: ConvEConfig, keys: Keys, work: Workload, modes: Modes, storage: Storage) -> int:
    """Bound the index arrays of one batch."""
    return BatchSizes.of(config, keys, work.num_tests, modes, storage).index_bytes


def _long_stages(of: BatchSizes) -> Iterator[int]:
    """Count what lives where the rows of long runs are multiplied with the directions of their pairs."""
    assert of.modes.long_run is not None  # noqa: S101 - of such modes
    rows, dim, tests, one = of.keys.rows, of.dim, of.num_tests, of.moments * of.dim
    beyond_one = of.modes.long_run - 1
    pairs = max(1, min(of.keys.pairs, (rows - of.keys.pairs) // beyond_one if beyond_one else of.keys.pairs))
    heads = min(of.keys.heads, pairs)
    of_heads = max((masked_numbers(of, region) for region in of.computed if region.sees is Sees.HEAD), default=0)
    some = min(pairs, of.of_piece(one) // one)
    of_some = -(-rows * some // pairs)
    both = max((masked_numbers(of, region) for region in of.computed if region.sees is Sees.BOTH), default=0)
    made = some * (3 * one + dim * (2 * 3 + tests) + max(both, dim * 2 * tests))
    multiplied = some * dim * tests + of.blocks(of_some, some, dim, tests)
    before = of.after_forward + 3 * rows * dim + rows * tests
    yield before + heads * (2 * one + of_heads)
    yield before + heads * one + max(made, multiplied)
