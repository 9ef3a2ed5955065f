"""Which parameter tensors are tracked: those a pattern names, or all but those that training leaves as they are."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tracin_dask.errors import ConfigError
from tracin_dask.models.config import ModelConfig


def matching(config: ModelConfig, patterns: Sequence[str]) -> frozenset[str]:
    """Select the tensors whose names match any of the shell-style patterns, e.g. `fc.*`.

    Raises
    ------
    ConfigError
        If a pattern matches nothing.
    """
    names = config.parameter_names
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"no parameter tensor matches {pattern!r}; the model has: {', '.join(names)}")
    return frozenset(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def without_cancelled(config: ModelConfig) -> frozenset[str]:
    """Select all tensors but those with gradients of 0 in training: an optimiser knows only rounding of these."""
    return frozenset(config.parameter_names) - config.cancelled_parameters


def entity_tables(config: ModelConfig) -> frozenset[str]:
    """Select the trained tables that have a row per entity.

    Raises
    ------
    ConfigError
        If there is none.
    """
    found = frozenset(table.name for table in config.tables if table.role == "entity" and table.is_trained)
    if not found:
        raise ConfigError(f"{config.name} trains no table with a row per entity; the curvature by rows needs one")
    return found


def refuse_other_than_tables(config: ModelConfig, tracked: frozenset[str]) -> None:
    """Refuse tracked tensors that are no tables, for the curvature of rows.

    Raises
    ------
    ConfigError
        Naming them, and the tables.
    """
    tables = [table.name for table in config.tables if table.is_trained]
    others = sorted(tracked.difference(tables))
    if others:
        raise ConfigError(
            f"the curvature by rows is about tables of embeddings, and {', '.join(others)} "
            f"{'is none' if len(others) == 1 else 'are none'}; track {' or '.join(tables)} (--parameters), or take "
            "--curvature landmarks, which knows every tensor"
        )
