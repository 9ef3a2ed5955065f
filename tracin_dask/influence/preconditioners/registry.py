"""The methods that find a preconditioner, by the names that options give."""

from typing import cast

from tracin_dask.errors import ConfigError
from tracin_dask.influence.preconditioners.adam import Adam
from tracin_dask.influence.preconditioners.base import PreconditionerMethod

NONE = "none"
METHODS: dict[str, PreconditionerMethod] = {"adam": Adam()}


def method_of(given: str | PreconditionerMethod) -> PreconditionerMethod | None:
    """Give the method of a name, or the method itself; None for plain gradient descent.

    Raises
    ------
    ConfigError
        If there is no method of this name.
    """
    if given == NONE:
        return None
    if hasattr(given, "fit"):
        return cast(PreconditionerMethod, given)
    if given not in METHODS:
        known = ", ".join(METHODS)
        raise ConfigError(f"preconditioner must be {NONE}, {known} or a PreconditionerMethod, not {given!r}")
    return METHODS[given]


def name_of(given: str | PreconditionerMethod) -> str:
    """Name what was given, for results."""
    method = method_of(given)
    return NONE if method is None else method.name
