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
