"""Bytes that live at once where rows are carried back one by one, stage by stage: see `Scorer` and `lower_factors`.

Letters as in `batch_sizes`.
"""

from collections.abc import Iterator

from tracin_dask.influence.conve.backward_pass import copied_rows, image_numbers
from tracin_dask.influence.conve.batch_sizes import BLOCKS, INDEX, LONG_RUN, BatchSizes
from tracin_dask.influence.conve.regions import Region, Sees
from tracin_dask.influence.conve.weights_memory import weights_stage

MATCHED = 2.25
"""Blocks [batch, test] of products of rows that meet test triples: these, the sums at their places, and which meet."""


def row_stages(of: BatchSizes) -> Iterator[int]:
    """Count what lives in each stage for a loss of the own score."""
    rows, dim, tests, pairs = of.keys.rows, of.dim, of.num_tests, of.keys.pairs
    yield of.forward_stage
    found = of.after_forward + 3 * rows * dim
    yield found + rows * dim
    yield from lower_stages(of, found, every_row=False)
    lower = found + lower_numbers(of) + rows * tests
    yield lower + max(pairs * tests + rows * tests, rows * (2 * dim + of.moments))
    if of.is_preconditioned:
        yield lower + rows * (2 * dim + of.moments) + weights_stage(of)
    yield lower + meeting(of)
    yield lower + rows * (2 * dim + 4)


def lower_stages(of: BatchSizes, found: int, *, every_row: bool) -> Iterator[int]:
    """Count what lives while rows are carried back; gradients at images are needed of every row, or of some."""
    rows, dim = of.keys.rows, of.dim
    lower = found + rows * (of.moments + _image_numbers(of, every_row=every_row))
    for region in of.computed:
        if of.modes.head_jacobians and region.sees is Sees.HEAD:
            yield lower + _through_heads(of, region)
        else:
            yield lower + of.recomputed + _back(of, region, every_row=every_row)
    if of.modes.relation_table:
        matrices = min(of.config.num_relations, rows)
        products = max(of.blocks(rows, matrices, dim, of.moments), 2 * rows * of.moments)
        yield lower + rows * dim + products
    yield lower + rows * 2 * dim


def lower_numbers(of: BatchSizes) -> int:
    """Count the lower factors: moments, and views of images, or copies of their halves."""
    return of.keys.rows * (of.moments + (2 if of.config.stacking == "width" else 4) * of.dim)


def _image_numbers(of: BatchSizes, *, every_row: bool) -> int:
    """Count the gradients at images of one row: one image serves both halves where every row needs both."""
    return (2 if every_row and not of.num_tests else 4) * of.dim


def _back(of: BatchSizes, region: Region, *, every_row: bool) -> int:
    """Count the backward pass of all rows through a region: masked gradients, then the patches that they meet."""
    rows, features, patches = of.keys.rows, of.features(region), of.patches(region)
    masked = (2 * rows + of.num_keys(region)) * features
    is_carried = every_row if region.sees is Sees.HEAD else region.sees is Sees.BOTH or not of.num_tests
    to_image = _to_image(of, region, every_row=every_row) if is_carried else 0
    return INDEX * rows + max(masked, rows * (features + patches) + max(rows * of.moments, to_image))


def _to_image(of: BatchSizes, region: Region, *, every_row: bool) -> int:
    """Count what rows add to gradients at images; gradients of some of all rows are copied first."""
    rows, copied = of.keys.rows, of.features(region)
    if of.storage.tiling.by_tap:
        return rows * (region.num_positions * of.taps + (0 if every_row else copied))
    added, is_copied = image_numbers(of.config, region), of.num_tests > 0 and region.sees is Sees.BOTH
    return max(rows * added, copied_rows(rows) * (added + copied) if is_copied else 0)


def meeting(of: BatchSizes) -> int:
    """Count the rows of tables that meet those of test triples: vectors, as gathered, in blocks, and their products.

    Relations meet in blocks: the test triples' vectors are there by relation, and once for each block.
    """
    rows, dim, tests = of.keys.rows, of.dim, of.num_tests
    theirs = 6 * dim * tests
    if not of.is_grouped(2 * dim):
        theirs += min(of.of_piece(0), (2 * BLOCKS + rows // LONG_RUN) * 2 * dim * tests)
    return rows * (7 * dim + 3 * INDEX) + int(MATCHED * rows * tests) + theirs


def _through_heads(of: BatchSizes, region: Region) -> int:
    """Count the Jacobians of some heads while they are made, and their products with rows."""
    one = of.moments * of.dim
    heads = min(of.keys.heads, of.of_piece(one) // one)
    rows = of.keys.rows - (of.keys.heads - heads)
    made = of.recomputed + heads * (masked_numbers(of, region) + 2 * one)
    return max(made, heads * one + of.blocks(rows, heads, of.dim, of.moments))


def masked_numbers(of: BatchSizes, region: Region) -> int:
    """Count what a Jacobian is the product of: patches, masks, and patches for every channel, of one key."""
    return region.num_positions * (of.config.output_channels + of.taps + 1 + of.moments)
