"""What `--cluster` says: the kind of cluster, parsed once."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tracin_dask.errors import ConfigError

if TYPE_CHECKING:
    from distributed import Client

Kind = Literal["auto", "local", "address"]
ADDRESS_SCHEMES = ("tcp://", "tls://", "ws://", "wss://", "ucx://")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """Where a run happens: `auto` (this process for small jobs, else local workers), `local`, or an address."""

    kind: Kind
    address: str = ""


def parse_spec(text: str) -> ClusterSpec:
    """Parse `auto`, `local`, a scheduler's address, or the path of a scheduler file (.json).

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if text == "auto":
        return ClusterSpec(kind="auto")
    if text == "local":
        return ClusterSpec(kind="local")
    if text.startswith(ADDRESS_SCHEMES) or text.endswith(".json"):
        return ClusterSpec(kind="address", address=text)
    raise ConfigError(
        f"unknown cluster {text!r}; expected auto, local, a scheduler's address such as tcp://10.0.0.1:8786, or the "
        "path of a scheduler file ending in .json"
    )


def open_cluster(
    spec: ClusterSpec, *, num_workers: int, memory_bytes: int, preload: Sequence[str] = ()
) -> AbstractContextManager["Client"]:
    """Open a client on the cluster of a spec; sizes are those of local workers, memory per worker.

    `preload` names modules that tasks need, which local workers import while they start.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached.
    """
    if spec.kind == "address":
        from tracin_dask.clusters.address import running_cluster  # noqa: PLC0415 - distributed is slow to import

        return running_cluster(spec.address)
    from tracin_dask.clusters.local import local_cluster  # noqa: PLC0415 - distributed is slow to import

    return local_cluster(num_workers, memory_bytes, preload=preload)
