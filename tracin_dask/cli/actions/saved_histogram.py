"""A histogram of all saved influences on each test triple, block by block."""

import numpy as np

from tracin_dask.cli.actions.counted_scores import open_saved
from tracin_dask.places.place import Place
from tracin_dask.report.page.histogram import Histogram
from tracin_dask.report.result import InfluenceResult

BINS = 60


def histogram_of(result: InfluenceResult, path: Place) -> Histogram:
    """Count the influences on each answer in bins of equal width from the smallest to the largest.

    Reads them twice, as many answers at a time as share chunks.

    Raises
    ------
    ConfigError
        If they are of another run.
    ScoresError
        If there are none, or a part is missing or damaged.
    """
    saved, number = open_saved(path, result), len(result.rankings)
    parts = []
    for start in range(0, number, saved.tests_at_a_time):
        size = min(saved.tests_at_a_time, number - start)
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        for _, values in saved.blocks(start, size):
            low, high = np.minimum(low, values.min(axis=1)), np.maximum(high, values.max(axis=1))
        edges = np.linspace(low, np.where(high > low, high, low + 1), BINS + 1, axis=1)
        counts = np.zeros((size, BINS), np.int64)
        for _, values in saved.blocks(start, size):
            counts += [np.histogram(row, bins=of_row)[0] for row, of_row in zip(values, edges, strict=True)]
        parts.append((edges, counts))
    return Histogram(
        edges=np.concatenate([edges for edges, _ in parts]), counts=np.concatenate([counts for _, counts in parts])
    )
