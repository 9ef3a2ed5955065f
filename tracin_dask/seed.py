"""Seeds of random numbers: whole numbers of 64 bits without a sign."""

from operator import index
from typing import SupportsIndex

from tracin_dask.errors import ConfigError

_BITS = 64


def check_seed(name: str, seed: object) -> None:
    """Refuse what is no seed.

    Raises
    ------
    ConfigError
        With the name of the setting, its value and the values allowed.
    """
    found = repr(seed) if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) else _as_text(index(seed))
    if found:
        raise ConfigError(f"{name} is {found}; expected a whole number from 0 to {2**_BITS - 1}")


def _as_text(number: int) -> str:
    """Show a number that is no seed; one of thousands of digits, which Python refuses to print, by its bits."""
    if 0 <= number < 2**_BITS:
        return ""
    return str(number) if number.bit_length() <= 4 * _BITS else f"a number of {number.bit_length()} bits"
