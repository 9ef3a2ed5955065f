"""Clusters that a Dask gateway starts for its users; it learns who they are from Dask's configuration."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import dask
from distributed import Client

from tracin_dask.clusters import attached, settings
from tracin_dask.clusters.attached import wait_for_attached
from tracin_dask.clusters.cluster import OpenCluster, Start
from tracin_dask.clusters.gateway_client import GatewayClient, SchedulerOfGateway
from tracin_dask.clusters.settings import setting
from tracin_dask.clusters.started import close_client
from tracin_dask.errors import ClusterError, ConfigError
from tracin_dask.resources import Machine, Resources, WorkerOptions, of_client

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A cluster that a Dask gateway starts; its connections are encrypted with a certificate of its own."""

    title: ClassVar[str] = "a Dask gateway"

    address: str = setting(settings.text)
    """Of the gateway: https://gateway.example."""
    proxy_address: str | None = setting(settings.text, None)
    """Of its proxy for schedulers, if that is another one: gateway://gateway.example:8786."""
    workers: int = setting(settings.count)
    options: tuple[tuple[str, settings.Scalar], ...] = setting(settings.scalars, ())
    """Of the cluster, as the gateway offers them."""
    threads_per_worker: int | None = setting(settings.count, None)
    """By the CPUs of the workers if not stated."""
    device_memory_limit: str = setting(settings.device_memory, "0.8")
    wait_minutes: int = setting(settings.count, 15)
    """How long to wait for the scheduler, and again for the first worker."""

    def __post_init__(self) -> None:
        """Refuse an address that is none of the web.

        Raises
        ------
        ConfigError
            With the address.
        """
        if not self.address.startswith(("http://", "https://")):
            raise ConfigError(
                f"address: expected that of a gateway, such as https://gateway.example, not {self.address}"
            )

    def describe(self) -> str:
        """Say what would be asked for."""
        options = "".join(f"\n  {name}: {value}" for name, value in self.options) or " those of the gateway"
        return f"a cluster of {self.workers} worker(s) by the gateway at {self.address}, with the options:{options}"

    def expected_resources(self, asked: WorkerOptions, machine: Machine) -> Sequence[Resources]:  # noqa: ARG002 - its workers are on other machines
        """Expect nothing: only the gateway knows the size of its workers."""
        asked.refuse_number(self.title)
        return []

    @contextmanager
    def open(self, start: Start) -> Iterator[OpenCluster]:
        """Let the gateway start a cluster, wait for workers, and shut the cluster down at the end.

        Raises
        ------
        ClusterError
            If dask-gateway is not installed, the gateway does not answer or refuses, or no worker comes in time.
        """
        gateway = GatewayClient(self.address, self.proxy_address)
        try:
            name = gateway.start(dict(self.options))
            try:
                scheduler = self._started(gateway, name)
                client = self._client(scheduler)
                try:
                    with dask.config.set({attached.DASHBOARD_LINK: scheduler.dashboard}):
                        yield OpenCluster(client=client, resources=self._when_there(client, start))
                finally:
                    close_client(client, start.patience.stop_seconds)
            finally:
                _stop(gateway, name)
        finally:
            gateway.close()

    def _started(self, gateway: GatewayClient, name: str) -> SchedulerOfGateway:
        """Wait for the scheduler, and ask for workers."""
        deadline = time.monotonic() + attached.MINUTE * self.wait_minutes
        where = f"the gateway at {self.address}"
        while (state := gateway.state(name)) != "running":
            if state != "pending":
                raise ClusterError(f"{where} could not start the cluster {name}: it is {state}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{where} has no scheduler after {self.wait_minutes} minute(s)")
            time.sleep(LOOK_SECONDS)
        gateway.scale(name, self.workers)
        return gateway.scheduler(name)

    def _client(self, scheduler: SchedulerOfGateway) -> Client:
        options = {"security": scheduler.security, "timeout": attached.TIMEOUT_SECONDS, "set_as_default": False}
        try:
            return Client(scheduler.address, **options)
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"no scheduler answers through the gateway's proxy at {scheduler.address} ({error})"
            ) from error

    def _when_there(self, client: Client, start: Start) -> Resources:
        """Wait for workers, and ask those that are there for their size; the others will come."""
        number = self.workers if start.all_workers else 1
        wait_for_attached(client, number, self.wait_minutes, states=lambda: "the gateway's log says why")
        found = of_client(client, self.device_memory_limit)
        threads = self.threads_per_worker or found.threads_per_worker
        return replace(found, num_workers=self.workers, threads_per_worker=threads)


def _stop(gateway: GatewayClient, name: str) -> None:
    """Shut the cluster down; if that fails, the results of the run are there."""
    try:
        gateway.stop(name)
    except ClusterError as error:
        logger.warning("the cluster %s could not be shut down (%s)", name, error)
