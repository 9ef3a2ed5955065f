"""How well two score vectors agree: correlation of ranks and of values, and the overlap of their leaders."""

import numpy as np
from numpy.typing import NDArray


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rank from 1 up; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Correlate the ranks of two vectors.

    Raises
    ------
    ValueError
        If one of them is constant: there is no order to compare.
    """
    first, second = (ranks(values) - (len(values) + 1) / 2 for values in (left, right))
    size = float(np.sqrt((first @ first) * (second @ second)))
    if size == 0:
        raise ValueError("a constant vector has no order to compare")
    return float(first @ second) / size


def overlap_of_leaders(left: NDArray[np.floating], right: NDArray[np.floating], k: int) -> float:
    """Give the share of the k rows of largest |score| that two vectors have in common (ties: the lower row)."""
    leaders = [set(np.argsort(-np.abs(values), kind="stable")[:k].tolist()) for values in (left, right)]
    return len(leaders[0] & leaders[1]) / min(k, len(left))


def largest_move(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Give the largest difference of one row, as a share of the largest |score| of the first vector."""
    return float(np.abs(right - left).max() / np.abs(left).max())


def pearson(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Correlate the values of two vectors."""
    return float(np.corrcoef(left, right)[0, 1])
