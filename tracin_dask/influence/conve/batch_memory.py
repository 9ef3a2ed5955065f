"""Bytes that live at once while a batch is scored with the engine for ConvE: the largest stage, and what it finds.

The numbers follow the tensors of `Scorer` one by one. Letters: D embedding_dim, M moments, B rows of the batch,
Q its distinct pairs (head, relation), T test triples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tracin_dask.influence.conve.cost import move_bytes, num_features, num_moments, whole_batch_bytes
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.regions import Region, Sees, regions
from tracin_dask.influence.cost import Keys, Storage
from tracin_dask.influence.tensors import laid_out
from tracin_dask.models.conve.model import ConvEConfig

INDEX_BYTES = 160
"""Index arrays of a row: ids, and where they stand in the orders by head, pair and relation."""
TEST_INDEX_BYTES = 80
"""Those of a test triple whose ids are in a batch: its places in the joins by head, tail and relation."""
PADDED = 1.5
"""Runs that are multiplied in blocks take about so many times their rows."""
BLOCKS = 2
"""There are about so many blocks for each run."""
MATCHED = 1.25
"""Of a block [batch, test]: products of all rows that meet test triples, and which of them do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMemory:
    """The sizes that all stages share; counts are of numbers, not of bytes."""

    config: ConvEConfig
    keys: Keys
    num_tests: int
    """Columns of the products, laid out."""
    modes: Modes
    storage: Storage
    computed: list[Region]
    """The regions that a batch computes: all but that of the relation table."""

    @property
    def dim(self) -> int:
        """D."""
        return self.config.embedding_dim

    @property
    def moments(self) -> int:
        """M."""
        return num_moments(self.config)

    def num_keys(self, region: Region) -> int:
        """Count the heads, relations or pairs whose features are computed."""
        pairs = self.keys.pairs
        numbers = {Sees.HEAD: self.keys.heads, Sees.BOTH: pairs, Sees.RELATION: min(self.config.num_relations, pairs)}
        return numbers[region.sees]

    def features(self, region: Region) -> int:
        """Count the features of a region for one key."""
        return num_features(self.config, region)

    def activations(self, region: Region) -> int:
        """Count patches and features of a region for all keys."""
        each = region.num_positions * (self.config.num_taps + 1) + self.features(region)
        return self.num_keys(region) * each

    @property
    def kept(self) -> int:
        """What the forward pass keeps for the backward pass."""
        seen = {Sees.HEAD: 1, Sees.BOTH: 2, Sees.RELATION: 1}
        sources = sum(self.num_keys(r) * (seen[r.sees] * self.dim + 1) for r in self.computed)
        return sources + (0 if self.storage.recompute else sum(map(self.activations, self.computed)))

    @property
    def recomputed(self) -> int:
        """What is computed again of a region, where it is not kept."""
        return max(map(self.activations, self.computed), default=0) if self.storage.recompute else 0

    @property
    def after_forward(self) -> int:
        """What is there from the forward pass to the end: by pair, and of each row its tail's embedding."""
        by_pair = self.keys.pairs * (3 * self.dim + self.num_tests)
        return self.kept + by_pair + self.keys.rows * self.dim

    def blocks(self, rows: int, matrices: int, width: int, columns: int) -> int:
        """Count the products of runs of rows with a matrix each: copies of matrices, rows, and products twice."""
        if self.storage.tiling.groups_float32 and self.storage.itemsize == 4 and width % 4 == 0:
            return rows * columns
        copies, piece = BLOCKS * matrices * width * columns, self.of_piece(width * columns)
        held = int(PADDED * rows) * (width + columns * (1 if copies <= piece else 2))
        return min(copies, piece) + held + rows * columns

    def moving(self, numbers: int) -> int:
        """Count so many numbers for each test triple along whose gradient they move at a time."""
        return move_bytes(numbers, self.num_tests, self.storage) // self.storage.itemsize

    def of_piece(self, one: int) -> int:
        """Count the numbers of Jacobians, or of as large matrices, that are held at a time; at least one."""
        return max(one, self.storage.tiling.jacobian_bytes // self.storage.itemsize)


def batch_bytes(config: ConvEConfig, keys: Keys, num_tests: int, modes: Modes, storage: Storage) -> int:
    """Bound the peak bytes of scoring one batch; with `recompute`, the activations of one region are held at a time.

    The bound for long runs assumes as many of them as the rows allow, which may be several times too many.
    """
    if modes.all_scores:
        return whole_batch_bytes(config, keys.rows, num_tests, storage, all_scores=True)
    looked_up = Sees.RELATION if modes.relation_table else None
    of = BatchMemory(
        config=config,
        keys=keys,
        num_tests=laid_out(num_tests),
        modes=modes,
        storage=storage,
        computed=[region for region in regions(config) if region.sees is not looked_up],
    )
    stages = list(_moving_stages(of) if modes.forward else _row_stages(of))
    stages += _long_stages(of) if modes.long_run else []
    return storage.itemsize * max(stages) + INDEX_BYTES * keys.rows + TEST_INDEX_BYTES * num_tests


def _forward_stage(of: BatchMemory) -> int:
    """Count the sums of the forward pass, and what a region adds to them: first by key, then by pair."""
    widest = max((of.num_keys(region) for region in of.computed), default=0)
    each = of.dim + of.num_tests
    return of.kept + of.recomputed + of.keys.pairs * each + (widest + of.keys.pairs) * max(of.dim, of.num_tests)


def _row_stages(of: BatchMemory) -> Iterator[int]:
    """Count what lives in each stage where rows are multiplied one by one."""
    rows, dim, tests = of.keys.rows, of.dim, of.num_tests
    yield _forward_stage(of)
    found = of.after_forward + 3 * rows * dim
    lower = found + rows * (of.moments + 2 * dim)
    yield found + rows * dim
    for region in of.computed:
        if of.modes.head_jacobians and region.sees is Sees.HEAD:
            yield lower + _through_heads(of, region)
        else:
            yield lower + of.recomputed + _back(of, region)
    if of.modes.relation_table:
        matrices = min(of.config.num_relations, rows)
        yield lower + rows * dim + rows * of.moments + of.blocks(rows, matrices, dim, of.moments)
    beside, meeting = rows * (2 * dim + of.moments), rows * 6 * dim + int(MATCHED * rows * tests)
    yield lower + rows * tests + max(of.keys.pairs * tests + rows * tests, beside, meeting)


def _moving_stages(of: BatchMemory) -> Iterator[int]:
    """Count what lives while features move along the gradients of some test triples, all masks being there."""
    rows, dim, pairs = of.keys.rows, of.dim, of.keys.pairs
    masks = [of.num_keys(region) * of.features(region) for region in of.computed]
    again = sum(map(of.activations, of.computed)) - sum(masks) + max(masks, default=0)
    widest = max([pairs * dim, *(of.num_keys(r) * max(dim, of.features(r)) for r in of.computed)])
    of_both = max((pairs * of.features(r) for r in of.computed if r.sees is Sees.BOTH), default=0)
    features, both, vectors = (of.moving(numbers) for numbers in (widest, of_both, max(pairs, rows) * dim))
    found = of.after_forward + (again if of.storage.recompute else 0) + sum(masks) + rows * of.num_tests
    yield found + max(3 * features // 2, 2 * both) + 2 * vectors
    yield _forward_stage(of)


def _back(of: BatchMemory, region: Region) -> int:
    """Count the backward pass of all rows through a region: masked gradients, then the patches that they meet."""
    rows, features = of.keys.rows, of.features(region)
    masked = (2 * rows + of.num_keys(region)) * features
    met = rows * (features + region.num_positions * (of.config.num_taps + 1))
    to_image = rows * (features + region.num_positions * of.config.num_taps) if region.sees is Sees.BOTH else 0
    return max(masked, met + max(rows * of.moments, to_image))


def _through_heads(of: BatchMemory, region: Region) -> int:
    """Count the Jacobians of some heads while they are made, and their products with rows."""
    one = of.moments * of.dim
    heads = min(of.keys.heads, of.of_piece(one) // one)
    rows = -(-of.keys.rows * heads // max(1, of.keys.heads))
    return max(heads * (_masked(of, region) + 2 * one), heads * one + of.blocks(rows, heads, of.dim, of.moments))


def _masked(of: BatchMemory, region: Region) -> int:
    """Count what a Jacobian is the product of: patches, masks, and patches for every channel, of one key."""
    return region.num_positions * (of.config.output_channels + of.config.num_taps + 1 + of.moments)


def _long_stages(of: BatchMemory) -> Iterator[int]:
    """Count what lives where the rows of long runs are multiplied with the directions of their pairs."""
    assert of.modes.long_run is not None  # noqa: S101 - of such modes
    rows, dim, tests, one = of.keys.rows, of.dim, of.num_tests, of.moments * of.dim
    beyond_one = of.modes.long_run - 1
    pairs = max(1, min(of.keys.pairs, (rows - of.keys.pairs) // beyond_one if beyond_one else of.keys.pairs))
    heads = min(of.keys.heads, pairs)
    of_heads = max((_masked(of, region) for region in of.computed if region.sees is Sees.HEAD), default=0)
    some = min(pairs, of.of_piece(one) // one)
    of_some = -(-rows * some // pairs)
    both = max((_masked(of, region) for region in of.computed if region.sees is Sees.BOTH), default=0)
    made = some * (3 * one + dim * (2 * 3 + tests) + max(both, dim * 2 * tests))
    multiplied = some * dim * tests + of.blocks(of_some, some, dim, tests)
    before = of.after_forward + 3 * rows * dim + rows * tests
    yield before + heads * (2 * one + of_heads)
    yield before + heads * one + max(made, multiplied)
