"""Numbers that were read from JSON, checked and put into arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import ndarray


def numbers(values: Iterable[Any], dtype: type) -> ndarray:
    """Put numbers that were read into an array, to the last bit.

    Raises
    ------
    ValueError
        If one is missing, no number, or a fraction where whole numbers are expected.
    """
    found = np.array(list(values))
    if len(found) and (found.ndim > 1 or found.dtype.kind not in ("i", "i" if dtype is int else "f")):
        raise ValueError(f"found {found.dtype} where numbers of type {dtype.__name__} are expected")
    return found.astype(dtype)
