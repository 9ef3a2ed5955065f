"""The kinds of cluster by name: each is a class in a file of its own, imported when it is used."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from tracin_dask.errors import ConfigError

if TYPE_CHECKING:
    from tracin_dask.clusters.cluster import Cluster

KINDS = {
    "local": "tracin_dask.clusters.local:Local",
    "cuda": "tracin_dask.clusters.cuda:Cuda",
    "slurm": "tracin_dask.clusters.slurm:Slurm",
    "address": "tracin_dask.clusters.address:Address",
}
"""The kinds that come with the package; a specification file may also name your own as `package.module:Class`."""
Kind = Callable[..., "Cluster"]


def find_kind(name: str) -> Kind:
    """Import a kind by its name, or as `package.module:Class`.

    Raises
    ------
    ConfigError
        If there is no such kind or class.
    """
    module, _, class_name = KINDS.get(name, name).partition(":")
    if not class_name:
        raise ConfigError(f"expected one of {', '.join(KINDS)}, or `package.module:Class` of your own, not {name!r}")
    try:
        kind: Kind = getattr(importlib.import_module(module), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{name} cannot be imported ({error}); is its folder on PYTHONPATH?") from error
    return kind
