"""Seeds of random numbers: whole numbers of 64 bits without a sign."""

from operator import index
from typing import SupportsIndex

from tracin_dask.errors import ConfigError
from tracin_dask.limits import short

MOST_SEED = 2**64 - 1


def check_seed(name: str, seed: object) -> None:
    """Refuse what is no seed.

    Raises
    ------
    ConfigError
        With the name of the setting, its value and the values allowed.
    """
    number = index(seed) if isinstance(seed, SupportsIndex) and not isinstance(seed, bool) else -1
    if not 0 <= number <= MOST_SEED:
        raise ConfigError(f"{name} is {short(seed)}; expected a whole number from 0 to {MOST_SEED}")
