"""What is said of a value that an option does not have."""

import operator
from numbers import Real

from tracin_dask.errors import ConfigError


def refuse_unknown(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that is not among those that an option knows.

    Raises
    ------
    ConfigError
        With the word and those that are known.
    """
    if value not in known:
        choices = " or ".join([*([", ".join(known[:-1])] if known[1:] else []), known[-1]])
        raise ConfigError(f"{name} must be {choices}, not {value!r}")


def require_count(name: str, value: object, *, least: int = 1) -> None:
    """Refuse what is not a whole number, or too small.

    Raises
    ------
    ConfigError
        With the value.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type] # what is no number raises
    except TypeError:
        raise ConfigError(f"{name} must be a whole number, not {value!r}") from None
    if number < least:
        raise ConfigError(f"{name} must be at least {least}, not {value}")


def require_positive(name: str, value: object) -> None:
    """Refuse what is not a number above 0.

    Raises
    ------
    ConfigError
        With the value.
    """
    if not isinstance(value, Real) or not 0 < float(value) < float("inf"):
        raise ConfigError(f"{name} must be a positive number, not {value!r}")


def refuse_single(**options: object) -> None:
    """Refuse a single value where an option takes several: a text would be taken for its letters.

    Raises
    ------
    ConfigError
        With the way to write it.
    """
    for name, value in options.items():
        if not hasattr(value, "__len__") or type(value) is str:
            raise ConfigError(f"{name} is a tuple, of one value, too: ({value!r},)")
