"""What is said of a value that an option does not have."""

from tracin_dask.errors import ConfigError


def refuse_unknown(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that is not among those that an option knows.

    Raises
    ------
    ConfigError
        With the word and those that are known.
    """
    if value not in known:
        raise ConfigError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {value!r}")
