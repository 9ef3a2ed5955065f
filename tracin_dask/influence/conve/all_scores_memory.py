"""Bytes that live at once under a loss of all scores, stage by stage: see `Reader` and `AllScoresTerms`.

Letters as in `batch_sizes`.
"""

from collections.abc import Iterator

from tracin_dask.influence.conve.batch_sizes import BatchSizes
from tracin_dask.influence.conve.row_memory import lower_numbers, lower_stages, meeting
from tracin_dask.influence.conve.weights_memory import weights_stage
from tracin_dask.influence.conve.whole_scores import HELD

MET = 5
"""Blocks [batch, test] held at a time while gradients at scores are multiplied with those of test triples."""
AT_TAILS = 12
"""Numbers of a row of a tile while the gradients at tails are put in place."""


def all_scores_stages(of: BatchSizes, *, is_separable: bool) -> Iterator[int]:
    """Count what lives in each stage."""
    rows, dim, tests, pairs = of.keys.rows, of.dim, of.num_tests, of.keys.pairs
    yield of.forward_stage
    yield of.scores_stage
    sums = pairs * tests * (2 if of.is_preconditioned else 1)
    yield of.after_forward + pairs * dim + reading(of, pairs, 3 * tests, is_separable=is_separable)
    at_pairs = of.after_forward + pairs * dim + sums
    yield at_pairs + rows * 3 * dim
    found = at_pairs + 3 * rows * dim
    yield found + rows * dim
    yield from lower_stages(of, found, every_row=True)
    lower = found + lower_numbers(of) + rows * tests
    yield lower + max(sums + rows * tests, rows * (2 * dim + of.moments))
    if of.is_preconditioned:
        yield lower + rows * (2 * dim + of.moments) + weights_stage(of)
    yield lower + meeting(of)
    yield lower + pairs * tests + MET * rows * tests + 3 * rows * dim


def reading(of: BatchSizes, rows: int, columns: int, *, is_separable: bool) -> int:
    """Count a tile of the gradients at all scores of some rows, and sums over it in so many columns.

    With a preconditioner, two sums are made: of the gradients and of the scaled ones, or of their squares in norms.
    """
    number, dim, itemsize = of.config.num_entities, of.dim, of.storage.itemsize
    most = of.storage.tiling.score_bytes // itemsize
    if is_separable:
        entities = min(number, max(1, most // max(dim, rows)))
        tile = rows * entities
    else:
        entities = number
        tile = HELD * number * min(rows, max(1, most // (HELD * number)))
        tile += tile // HELD + rows * (dim + columns)
    if of.is_preconditioned:
        columns += columns + 2 * dim
        fewer, more = sorted((rows, entities))
        moving = of.storage.tiling.move_bytes // (more * dim * itemsize)
        some = min(of.num_tests, 2 * max(1, moving)) * dim  # the last piece is there until the next one is made
        tile += some * (more + fewer) if of.num_tests else tile
    return tile + rows * max(columns, AT_TAILS)
