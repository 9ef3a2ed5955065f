"""Seeds that follow from the base seed of a study: one for each purpose, independent of all others."""

import zlib

import numpy as np


def seed_for(base: int, purpose: str, *numbers: int) -> int:
    """Give the seed of a purpose, such as the 3rd subset."""
    words = (base, zlib.crc32(purpose.encode()), *numbers)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1


def generator_for(base: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Give random numbers of their own to a purpose."""
    return np.random.default_rng(seed_for(base, purpose, *numbers))
