"""Bytes that live at once while features go through a preconditioner of fc.weight: see `WeightTerms`."""

from tracin_dask.influence.conve.batch_sizes import BatchSizes
from tracin_dask.influence.conve.regions import Sees


def through_weights(of: BatchSizes) -> int:
    """Count the moves along some test triples' gradients at a time, and the features of a region that make them.

    All features of a test triple may be open: about half of them are.
    """
    some, dim = of.tests_at_a_time, of.dim
    again = sum(map(of.activations, of.computed)) if of.storage.recompute else 0
    made = 0
    for region in of.computed:
        keys, features = of.num_keys(region), of.features(region)
        met = some * features * (keys + dim)
        gathered = 0 if region.sees is Sees.BOTH else of.by_pair(some)
        made = max(made, some * keys * dim + max(met, gathered))
    return again + some * of.keys.pairs * dim + max(made, of.by_pair(some))


def weights_stage(of: BatchSizes) -> int:
    """Count the same where rows meet these moves, row by row."""
    some = of.tests_at_a_time
    again = sum(map(of.activations, of.computed)) if of.storage.recompute else 0
    return max(through_weights(of), again + some * of.keys.pairs * of.dim + of.by_row(some))
