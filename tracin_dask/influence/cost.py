"""What scoring takes, counted before it starts: multiply-adds and bytes of the pair-product engine.

Letters: D embedding_dim, F features, P positions, C channels, k taps, T test triples.
"""

from dataclasses import dataclass

from tracin_dask.influence.engine import BELOW_PROJECTION
from tracin_dask.influence.layout import regions
from tracin_dask.models.conve import ConvEConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much there is to score; distinct counts are of the whole training set, in store order."""

    num_triples: int
    num_pairs: int
    """Distinct (head, relation)."""
    num_tests: int
    """0 for self-influence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplyAdds:
    """Counted multiply-adds by stage."""

    forward: int
    """Once per distinct (head, relation); an upper bound, since heads and relations are shared further."""
    backward: int
    """Once per training triple."""
    products: int
    """Once per pair of a training and a test triple, the features' part once per distinct (head, relation)."""

    @property
    def total(self) -> int:
        """All stages."""
        return self.forward + self.backward + self.products


def multiply_adds(config: ConvEConfig, work: Workload, tracked: frozenset[str]) -> MultiplyAdds:
    """Count the multiply-adds of a run; a few per cent of elementwise work and of shared rows are left out."""
    below = bool(tracked & BELOW_PROJECTION)
    convolution = config.num_features * (config.num_taps + 1)
    projection = config.embedding_dim * config.num_features
    width = 3 * config.embedding_dim + (config.num_taps + 1) * config.output_channels * below
    return MultiplyAdds(
        forward=work.num_pairs * (projection + convolution),
        backward=work.num_triples * (projection + convolution) * below,
        products=max(1, work.num_tests) * (work.num_pairs * config.num_features + work.num_triples * width),
    )


def model_bytes(config: ConvEConfig, itemsize: int) -> int:
    """Bound the bytes of the weights while they are folded, which is more than they take later.

    The checkpoint's own projection lies beside the reordered one; the maps from the moments to the gradients of bn0,
    conv1 and bn1 are made in float64, a little over three tables of moments by moments at a time. Embedding tables are
    shared.
    """
    tables = (config.num_entities + config.num_relations) * config.embedding_dim + config.num_entities
    moments = (config.num_taps + 1) * config.output_channels
    maps = 3 * 8 * moments * (moments + config.output_channels)
    return itemsize * (tables + 2 * config.embedding_dim * config.num_features) + maps


def prepared_bytes(config: ConvEConfig, num_tests: int, itemsize: int) -> int:
    """Count the bytes of the prepared test triples."""
    moments = (config.num_taps + 1) * config.output_channels
    return num_tests * (itemsize * (config.num_features + moments + 6 * config.embedding_dim + 1) + 24)


def batch_bytes(config: ConvEConfig, batch_size: int, num_tests: int, *, itemsize: int, recompute: bool) -> int:
    """Bound the bytes that live at once while one batch is scored, all its (head, relation) distinct.

    Kept activations are the patches and the features of all regions; with `recompute` those of one region at a time.
    The backward pass adds one region's gradient, its mask and its patches by row, the products five
    [batch, test] blocks.
    """
    taps, channels, dim = config.num_taps + 1, config.output_channels, config.embedding_dim
    widest = max(region.num_positions for region in regions(config))
    kept = (widest if recompute else config.num_positions) * (taps + channels)
    working = widest * (2 * taps + channels) + widest * channels // itemsize
    vectors = 20 * dim + 3 * taps * channels
    return batch_size * itemsize * (kept + working + vectors + 5 * max(1, num_tests))


def top_k_bytes(k: int, num_tests: int) -> int:
    """Bound the bytes of both sides' best and waiting entries, twice while they are ranked."""
    entry = 3 * 8 + 3 * 8
    return 2 * 2 * (3 * k * num_tests + 4096) * entry
