"""What every kind of cluster can do: describe itself, say which workers it would have, and open a Dask client."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tracin_dask.patience import Patience
from tracin_dask.resources import Machine, Resources, WorkerOptions

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a cluster is started."""

    resources: Resources | None = None
    """The expected workers that were chosen; None if the cluster expects none."""
    preload: tuple[str, ...] = ()
    """Modules that tasks need: workers import them while they start."""
    all_workers: bool = False
    """Wait for all workers, not only for those that a run can start with."""
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCluster:
    """A cluster whose workers answer."""

    client: "Client"
    resources: Resources
    workers_return: bool = True
    """Whether workers may still come after the last one was lost."""


@runtime_checkable
class Cluster(Protocol):
    """A kind of cluster with its settings: a frozen dataclass whose fields are the settings of a specification file.

    `clusters.settings` says how a setting is read from the file.
    """

    @property
    def title(self) -> str:
        """Name the cluster in messages: `2 workers × 4 threads on TITLE`."""
        ...

    def describe(self) -> str:
        """Say what would be started or submitted."""
        ...

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:
        """Give the workers that the cluster would have, before it is started.

        Of several possibilities the best comes first: a run takes the first one that it fits into. Empty if only the
        running cluster knows.

        Raises
        ------
        ConfigError
            If the cluster cannot have what is asked for.
        """
        ...

    def open(self, start: Start) -> AbstractContextManager[OpenCluster]:
        """Start the cluster and wait for workers; stop what was started at the end.

        Raises
        ------
        ClusterError
            If it cannot be started or reached.
        """
        ...
