"""Which parameter tensors are tracked: all of them, those a pattern names, or the last layers."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.scoring import ScoringConfig

_BEFORE_FC = (
    "bn0.weight",
    "bn0.bias",
    "conv1.weight",
    "conv1.bias",
    "bn1.weight",
    "bn1.bias",
)

CANCELLED = frozenset({"bn0.weight", "bn0.bias", "conv1.bias"})
"""Tensors of a ConvE whose gradients are 0 in training, up to rounding, and not in eval mode, as influences need it.

bn1 takes from what conv1 gives off the mean and the scale of the batch, and so all that these tensors change.
"""


def parameter_names(config: ConvEConfig | ScoringConfig) -> tuple[str, ...]:
    """Name every trained parameter tensor of a model, those of ConvE in the order of its definition."""
    if isinstance(config, ScoringConfig):
        return config.parameter_names
    names = ("entity_embeddings.weight", "relation_embeddings.weight", *_BEFORE_FC)
    after = ("fc.weight", "fc.bias", "bn2.weight", "bn2.bias")
    bias = ("entity_bias",) if config.has_entity_bias else ()
    return (*names, *after, *bias)


def matching(config: ConvEConfig | ScoringConfig, patterns: Sequence[str]) -> frozenset[str]:
    """Select the tensors whose names match any of the shell-style patterns, e.g. `fc.*`.

    Raises
    ------
    ConfigError
        If a pattern matches nothing.
    """
    names = parameter_names(config)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"no parameter tensor matches {pattern!r}; the model has: {', '.join(names)}")
    return frozenset(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def without_cancelled(config: ConvEConfig | ScoringConfig) -> frozenset[str]:
    """Select all tensors but a ConvE's with gradients of 0 in training: an optimiser knows only rounding of these."""
    names = frozenset(parameter_names(config))
    return names - CANCELLED if isinstance(config, ConvEConfig) else names


def last_layers(num_last_layers: int) -> frozenset[str]:
    """Select fc.weight and fc.bias and, for N > 2, the N - 2 tensors before them; never embeddings, never bn2.

    Raises
    ------
    ConfigError
        If N is not positive.
    """
    if num_last_layers < 1:
        raise ConfigError(f"the number of last layers must be at least 1, not {num_last_layers}")
    more = max(0, num_last_layers - 2)
    return frozenset({"fc.weight", "fc.bias", *_BEFORE_FC[max(0, len(_BEFORE_FC) - more) :]})
