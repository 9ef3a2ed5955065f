"""What scoring takes, counted before it starts: multiply-adds and bytes of the pair-product engine.

Letters: D embedding_dim, F features, P positions, C channels, k taps, T test triples.
"""

from dataclasses import dataclass

from tracin_dask.influence.directions import MOVED_BYTES
from tracin_dask.influence.engine import BELOW_PROJECTION
from tracin_dask.influence.layout import Region, Sees, regions
from tracin_dask.influence.modes import Modes
from tracin_dask.influence.relation_table import table_bytes
from tracin_dask.models.conve import ConvEConfig

MOST_TABLE_BYTES = 256 * 2**20
"""A relation table that is larger is not made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much there is to score; distinct counts are of the whole training set, in store order."""

    num_triples: int
    num_heads: int
    """Distinct heads."""
    num_pairs: int
    """Distinct (head, relation)."""
    num_tests: int
    """0 for self-influence."""

    def keys(self, region: Region) -> int:
        """Count how often a region's features are computed; relations come back in almost every batch."""
        return self.num_heads if region.sees is Sees.HEAD else self.num_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplyAdds:
    """Counted multiply-adds by stage."""

    forward: int
    """The features and their projection: once per distinct head, (head, relation) or relation, by region."""
    lower: int
    """Through the feature map: back from each training triple, or forward along each test triple, by region."""
    products: int
    """Once per pair of a training and a test triple, the features' part once per distinct head or (head, relation)."""

    @property
    def total(self) -> int:
        """All stages."""
        return self.forward + self.lower + self.products


def choose_modes(config: ConvEConfig, work: Workload, tracked: frozenset[str]) -> Modes:
    """Choose each region's cheapest way by its multiply-adds, and a relation table where it pays and is small."""
    if work.num_tests == 0 or not tracked & BELOW_PROJECTION:
        return Modes()
    forward = frozenset(r.sees for r in regions(config) if _forward(config, r, work) < _backward(config, r, work))
    size = table_bytes(config.num_relations, config.embedding_dim, work.num_tests, itemsize=4)
    sees_relation = [region for region in regions(config) if region.sees is Sees.RELATION]
    pays = any(
        _table(config, r, work) < min(_forward(config, r, work), _backward(config, r, work)) for r in sees_relation
    )
    if pays and size <= MOST_TABLE_BYTES:
        return Modes(forward=forward - {Sees.RELATION}, relation_table=True)
    return Modes(forward=forward)


def multiply_adds(config: ConvEConfig, work: Workload, tracked: frozenset[str], modes: Modes) -> MultiplyAdds:
    """Count the multiply-adds of a run; a few per cent of elementwise work and of shared rows are left out."""
    forward = lower = overlap = 0
    goes_back = False
    for region in regions(config):
        if modes.relation_table and region.sees is Sees.RELATION:
            lower += _table(config, region, work)
            continue
        forward += work.keys(region) * _pass(config, region)
        overlap += work.keys(region) * _features(config, region)
        if region.sees in modes.forward:
            lower += _forward(config, region, work)
        elif tracked & BELOW_PROJECTION:
            lower += work.num_triples * _pass(config, region)
            goes_back = True
    if modes.forward:
        lower += work.num_triples * work.num_tests * config.embedding_dim
    width = 3 * config.embedding_dim + (config.num_taps + 1) * config.output_channels * goes_back
    return MultiplyAdds(
        forward=forward,
        lower=lower,
        products=max(1, work.num_tests) * (overlap + work.num_triples * width),
    )


def _features(config: ConvEConfig, region: Region) -> int:
    return region.num_positions * config.output_channels


def _pass(config: ConvEConfig, region: Region) -> int:
    """Count a region's convolution and projection, forward or backward, of one key or row."""
    return _features(config, region) * (config.num_taps + 1 + config.embedding_dim)


def _forward(config: ConvEConfig, region: Region, work: Workload) -> int:
    """Count moving a region's features along every test triple's gradient."""
    return work.keys(region) * work.num_tests * _pass(config, region)


def _backward(config: ConvEConfig, region: Region, work: Workload) -> int:
    """Count carrying every training triple's gradient back through a region."""
    return work.num_triples * _pass(config, region)


def _table(config: ConvEConfig, region: Region, work: Workload) -> int:
    """Count making and using the relation table."""
    moments = (config.num_taps + 1) * config.output_channels
    features, dim, tests = _features(config, region), config.embedding_dim, work.num_tests
    made = features * (config.num_taps + 1) * (1 + dim) + dim * features + tests * (features + dim * moments)
    return config.num_relations * made + work.num_triples * dim * tests


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


def prepared_bytes(config: ConvEConfig, num_tests: int, itemsize: int, modes: Modes) -> int:
    """Count the bytes of the prepared test triples, and of the relation table."""
    moments = (config.num_taps + 1) * config.output_channels
    rows = num_tests * (itemsize * (config.num_features + moments + 6 * config.embedding_dim + 1) + 24)
    table = table_bytes(config.num_relations, config.embedding_dim, num_tests, itemsize) if modes.relation_table else 0
    return rows + table


def batch_bytes(
    config: ConvEConfig, batch_size: int, num_tests: int, modes: Modes, *, itemsize: int, recompute: bool
) -> int:
    """Bound the bytes that live at once while one batch is scored, all its (head, relation) distinct.

    Kept activations are the patches and the features of all regions; with `recompute` those of one region at a time.
    The backward pass adds one region's gradient, its mask and its patches by row, the products five
    [batch, test] blocks. Moving features forward adds them for some test triples, and their projection for all.
    """
    taps, channels, dim = config.num_taps + 1, config.output_channels, config.embedding_dim
    widest = max(region.num_positions for region in regions(config))
    kept = (widest if recompute else config.num_positions) * (taps + channels)
    working = widest * (2 * taps + channels) + widest * channels // itemsize
    vectors = 20 * dim + 3 * taps * channels
    moved = 2 * MOVED_BYTES + 3 * num_tests * batch_size * dim * itemsize if modes.forward else 0
    return batch_size * itemsize * (kept + working + vectors + 5 * max(1, num_tests)) + moved


def top_k_bytes(k: int, num_tests: int) -> int:
    """Bound the bytes of both sides' best and waiting entries, twice while they are ranked."""
    entry = 3 * 8 + 3 * 8
    return 2 * 2 * (3 * k * num_tests + 4096) * entry
