"""The kinds of cluster by name: each is a class in a file of its own, imported when it is used."""

import importlib
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, cast

from tracin_dask.errors import ConfigError
from tracin_dask.limits import short

if TYPE_CHECKING:
    from tracin_dask.clusters.cluster import Cluster

KINDS = {
    "local": "tracin_dask.clusters.local:Local",
    "cuda": "tracin_dask.clusters.cuda:Cuda",
    "slurm": "tracin_dask.clusters.slurm:Slurm",
    "pbs": "tracin_dask.clusters.pbs:Pbs",
    "lsf": "tracin_dask.clusters.lsf:Lsf",
    "sge": "tracin_dask.clusters.sge:Sge",
    "htcondor": "tracin_dask.clusters.htcondor:HTCondor",
    "ssh": "tracin_dask.clusters.ssh:Ssh",
    "kubernetes": "tracin_dask.clusters.kubernetes:Kubernetes",
    "gateway": "tracin_dask.clusters.gateway:Gateway",
    "address": "tracin_dask.clusters.address:Address",
}
"""The kinds that come with the package; a specification file may also name your own as `package.module:Class`."""
Kind = Callable[..., "Cluster"]
_CLASS = re.compile(r"(?P<module>[^\W\d]\w*(\.\w+)*):(?P<name>\w+)")


def find_kind(name: str) -> Kind:
    """Import a kind by its name, or as `package.module:Class`.

    Raises
    ------
    ConfigError
        If there is no such kind or class.
    """
    found = _CLASS.fullmatch(KINDS.get(name, name))
    if found is None:
        raise ConfigError(
            f"expected one of {', '.join(KINDS)}, or `package.module:Class` of your own, not {short(name)}"
        )
    try:
        kind: Any = getattr(importlib.import_module(found["module"]), found["name"])
    except Exception as error:  # whatever a module of somebody else raises
        raise ConfigError(f"{name} cannot be imported ({error}); is its folder on PYTHONPATH?") from error
    if not is_dataclass(kind) or not hasattr(kind, "open"):
        raise ConfigError(f"{name} is not a kind of cluster: expected a dataclass with a method `open`")
    return cast("Kind", kind)
