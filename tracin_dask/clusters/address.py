"""A cluster that somebody else started, found by the address or the file of its scheduler."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask
from distributed import Client
from distributed.comm.addressing import normalize_address

from tracin_dask.clusters import settings, tls
from tracin_dask.clusters.attached import attached_client
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.started import close_client
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.monitor.watch import Watch
from tracin_dask.places.registry import local_path_of
from tracin_dask.resources import Machine, Resources, WorkerOptions, of_client

MINUTE = 60
"""In seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address(tls.Certificates):
    """A cluster that somebody else started."""

    address: str = setting(settings.text)
    """Of its scheduler, or the path of its scheduler file."""
    workers: int = setting(settings.count, 1)
    """How many must be there before a run starts."""
    wait_minutes: int = setting(settings.count, 1)
    """How long to wait for them."""
    device_memory_limit: str = setting(settings.device_memory, "0.8")
    """Memory of a GPU that a run may use: a part of it, or a size."""

    def __post_init__(self) -> None:
        """Refuse certificates that are half given, and a scheduler file that only a URL names.

        Raises
        ------
        ConfigError
            With the settings that are missing.
        PlaceError
            If the scheduler file does not lie in the file system.
        """
        tls.Certificates.__post_init__(self)  # super() does not know a class with slots
        self._scheduler_file()

    @property
    def title(self) -> str:
        """Name the cluster in messages."""
        return f"the cluster at {self.address}"

    def describe(self) -> str:
        """Say that nothing would be started."""
        return f"nothing: connects to the cluster at {self.address}"

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:  # noqa: ARG002 - its workers are on other machines
        """Expect nothing: only the running cluster knows its workers."""
        asked.refuse_number(self.title)
        return []

    @contextmanager
    def open(self, start: Start) -> Iterator[OpenCluster]:
        """Connect to the scheduler and wait for its workers; the cluster is left running.

        Raises
        ------
        ClusterError
            If the scheduler does not answer, or has fewer workers than stated.
        ConfigError
            If its connections are encrypted and certificates are missing, or the other way round.
        """
        file = self._scheduler_file()
        stated = self.address if file is None else _address_in(file)
        scheduler = str(normalize_address(stated))
        with dask.config.set(tls.dask_settings(self)):
            self._check_certificates(scheduler)
            client = attached_client(scheduler)
        try:
            self._wait_for_workers(client)
            with Watch(client, start.patience):  # a worker that is stopped does not answer
                resources = of_client(client, self.device_memory_limit)
            yield OpenCluster(client=client, resources=resources)
        finally:
            close_client(client, start.patience.stop_seconds)

    def _scheduler_file(self) -> Path | None:
        """Give the path of the scheduler file; None if this is the address itself."""
        return local_path_of(self.address, "a file of --cluster") if self.address.endswith(".json") else None

    def _check_certificates(self, scheduler: str) -> None:
        has_certificates = tls.encrypts("client")
        if scheduler.startswith(tls.ENCRYPTED) and not has_certificates:
            raise ConfigError(
                f"{scheduler} takes encrypted connections only: state tls_ca_file, tls_cert and tls_key in a "
                "specification file (`tracin-dask cluster init address`), or in Dask's own configuration"
            )
        if self.tls_cert is not None and not scheduler.startswith(tls.ENCRYPTED):
            raise ConfigError(f"tls_cert is stated, and connections to {scheduler} are not encrypted; expected tls://")

    def _wait_for_workers(self, client: Client) -> None:
        try:
            client.wait_for_workers(self.workers, timeout=MINUTE * self.wait_minutes)
        except TimeoutError as error:
            there = len(client.scheduler_info(n_workers=-1)["workers"])
            raise ClusterError(
                f"the scheduler at {self.address} has {there or 'no'} worker(s) after {self.wait_minutes} minute(s), "
                f"not {self.workers}; start some with `dask worker ADDRESS --nthreads 1`"
            ) from error


def _address_in(scheduler_file: Path) -> str:
    try:
        return str(json.loads(scheduler_file.read_text())["address"])
    except FileNotFoundError as error:
        raise ClusterError(
            f"{scheduler_file}: no such scheduler file; `dask scheduler --scheduler-file {scheduler_file}` writes one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"{scheduler_file}: not the scheduler file of a Dask cluster ({error!r}); "
            f"`dask scheduler --scheduler-file {scheduler_file}` writes one"
        ) from error
