"""The sizes that all stages of a batch share, and what lives while its forward pass runs.

Letters: D embedding_dim, M moments, B rows of the batch, Q its distinct pairs (head, relation), T test triples.
"""

import math
from dataclasses import dataclass

from tracin_dask.influence.conve.cost import num_features, num_moments
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.regions import Region, Sees, regions
from tracin_dask.influence.cost import Keys, Storage
from tracin_dask.models.conve.model import ConvEConfig

INDEX = 2
"""An int64 counts as so many numbers; they are two of float32."""
MATCHES = 3
"""Lists of pairs and test triples of the same id: of heads, of heads that are tails, and of relations."""
TEST_INDEX_BYTES = 80
"""Index arrays of a test triple whose ids are in a batch: its places in the joins by head, tail and relation."""
BLOCKS = 2
"""There are about so many blocks for each run, and one more for each `LONG_RUN` rows."""
LONG_RUN = 256
LONGEST_BLOCK = 1024
MOST_FILLED = 6.0
"""Blocks of short runs of many lengths have about so many times their rows, as tried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """The sizes of a batch; counts are of numbers, not of bytes."""

    config: ConvEConfig
    keys: Keys
    num_tests: int
    """Columns of the products, laid out; 0 for norms."""
    modes: Modes
    storage: Storage
    computed: list[Region]
    """The regions that a batch computes: all but that of the relation table."""
    is_preconditioned: bool
    """Whether gradients meet through a preconditioner."""

    @classmethod
    def of(
        cls,
        config: ConvEConfig,
        keys: Keys,
        num_tests: int,
        modes: Modes,
        storage: Storage,
        *,
        is_preconditioned: bool = False,
    ) -> "BatchSizes":
        """Find the regions that a batch computes in some modes."""
        looked_up = Sees.RELATION if modes.relation_table else None
        return cls(
            config=config,
            keys=keys,
            num_tests=num_tests,
            modes=modes,
            storage=storage,
            computed=[region for region in regions(config) if region.sees is not looked_up],
            is_preconditioned=is_preconditioned,
        )

    @property
    def dim(self) -> int:
        """D."""
        return self.config.embedding_dim

    @property
    def taps(self) -> int:
        """Entries of the kernel of a channel, the constant left out."""
        return self.config.num_taps

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

    def patches(self, region: Region) -> int:
        """Count the entries of a region's patches for one key."""
        return region.num_positions * (self.taps + 1)

    def activations(self, region: Region) -> int:
        """Count patches and features of a region for all keys."""
        return self.num_keys(region) * (self.patches(region) + self.features(region))

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

    @property
    def forward_stage(self) -> int:
        """The sums of the forward pass, and what a region adds to them: first by key, then by pair."""
        pairs, width = self.keys.pairs, max(self.dim, self.num_tests)
        added = [self.num_keys(r) * width + (0 if r.sees is Sees.BOTH else pairs * width) for r in self.computed]
        looked_up = pairs * width if self.modes.relation_table else 0
        sums = pairs * (self.dim + self.num_tests)
        return self.kept + self.recomputed + sums + max([*added, looked_up, 2 * pairs * self.dim])

    @property
    def scores_stage(self) -> int:
        """The scores of all rows, from their outputs and their tails."""
        return self.after_forward + self.keys.rows * (2 * self.dim + 4)

    @property
    def index_bytes(self) -> int:
        """Bound the index arrays of a batch, all of them at a time: ids, their runs, and the orders of products."""
        rows, pairs, tests = self.keys.rows, self.keys.pairs, self.num_tests
        numbers = 6 * rows + 4 * pairs + 4 * self.keys.heads
        if not self.modes.relation_table:
            numbers += pairs + 2 * min(self.config.num_relations, pairs)
        if tests and self.modes.forward:  # tails, and the pairs that move along each test triple's gradient
            numbers += 12 * rows + 2 * MATCHES * pairs * tests
        elif tests:
            numbers += 26 * rows + (5 * rows if self.modes.head_jacobians else 0)
        if self.modes.all_scores:
            numbers += 4 * rows + pairs
        return 8 * numbers + TEST_INDEX_BYTES * self.num_tests

    @property
    def tests_at_a_time(self) -> int:
        """Count the test triples that features meet or move along at a time, as `pieces_of_tests`."""
        widest = self.keys.rows * self.dim
        for region in self.computed:
            widest = max(widest, max(self.num_keys(region), self.dim) * self.features(region))
        step = self.storage.tiling.move_bytes // max(1, widest * self.storage.itemsize)
        return min(self.num_tests, max(1, step))

    def by_pair(self, some: int) -> int:
        """Count what is gathered by pair for some test triples, with the places of a stack of them."""
        return some * self.keys.pairs * (self.dim + (INDEX if some > 1 else 0))

    def by_row(self, some: int) -> int:
        """Count the same by row, with the products."""
        return some * self.keys.rows * (self.dim + (INDEX if some > 1 else 1))

    def blocks(self, rows: int, matrices: int, width: int, columns: int) -> int:
        """Count the products of runs of rows with a matrix each: copies of matrices, rows and products of a piece."""
        tiling, itemsize, found = self.storage.tiling, self.storage.itemsize, rows * columns
        if self.is_grouped(width):
            return found
        copies = min(rows, BLOCKS * matrices + rows // LONG_RUN) * width * columns
        filled = math.ceil(_most_filled(rows / matrices) * rows) * (width + columns)
        alone = filled + max(copies, found)
        block = max(width, LONGEST_BLOCK) * columns + LONGEST_BLOCK * (width + columns)
        piece = tiling.jacobian_bytes // itemsize
        return min(alone, max(piece, found + max(block, piece // 2)))

    def is_grouped(self, width: int) -> bool:
        """Tell whether PyTorch multiplies runs of rows by itself, without copies."""
        return self.storage.tiling.groups_float32 and self.storage.itemsize == 4 and width % 4 == 0

    def of_piece(self, one: int) -> int:
        """Count the numbers of Jacobians, or of as large matrices, that are held at a time; at least one."""
        return max(one, self.storage.tiling.jacobian_bytes // self.storage.itemsize)


def _most_filled(length: float) -> float:
    """Bound the rows of all blocks in units of those of the runs, from the mean length of a run.

    b blocks of w rows take a time of b · (w + 64), the least of all widths, and so no more than with w = 8 √length: see
    `products_by_run`.
    """
    return min(MOST_FILLED, (1 + 8 / math.sqrt(length)) ** 2)
