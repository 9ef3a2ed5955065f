"""Calls of a Dask gateway, in a loop of their own, with its errors in words."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed.security import Security
from distributed.utils import LoopRunner

from tracin_dask.errors import ClusterError

STATES = ("pending", "running", "stopping", "stopped", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOfGateway:
    """How a scheduler is reached."""

    address: str
    """Of the gateway's proxy, with the name of the cluster."""
    security: Security
    """The certificate of the cluster."""
    dashboard: str
    """Its link, through the gateway."""


class GatewayClient:
    """A gateway's clusters by their names."""

    def __init__(self, address: str, proxy_address: str | None) -> None:
        """Take the addresses of a gateway.

        Raises
        ------
        ClusterError
            If dask-gateway is not installed.
        """
        self._address = address
        self._package = _package()
        self._runner = LoopRunner()
        self._runner.start()

        async def made() -> Any:  # noqa: ANN401 - dask-gateway has no types
            return self._package.Gateway(address=address, proxy_address=proxy_address, asynchronous=True)

        try:
            self._gateway = self._call(made)
        except ClusterError:
            self._runner.stop()
            raise

    def start(self, options: dict[str, Any]) -> str:
        """Start a cluster and give its name; raises as `state`."""
        return str(self._call(self._gateway.submit, **options))

    def state(self, name: str) -> str:
        """Give the state of a cluster in a word.

        Raises
        ------
        ClusterError
            If the gateway does not answer, or refuses.
        """
        reports = self._call(self._gateway.list_clusters, status=STATES)
        found = [report for report in reports if report.name == name]
        return str(found[0].status.name).lower() if found else "unknown"

    def scale(self, name: str, workers: int) -> None:
        """Ask for so many workers; raises as `state`."""
        self._call(self._gateway.scale_cluster, name, workers)

    def scheduler(self, name: str) -> "SchedulerOfGateway":
        """Say how a running cluster's scheduler is reached; raises as `state`."""

        async def asked() -> SchedulerOfGateway:
            cluster = await self._gateway.connect(name)
            try:
                address, security, link = cluster.scheduler_address, cluster.security, cluster.dashboard_link
            finally:
                await cluster.close(shutdown=False)
            return SchedulerOfGateway(address=address, security=security, dashboard=link)

        found: SchedulerOfGateway = self._call(asked)
        return found

    def stop(self, name: str) -> None:
        """Shut a cluster down; raises as `state`."""
        self._call(self._gateway.stop_cluster, name)

    def close(self) -> None:
        """Close the connection."""
        self._call(self._gateway.close)
        self._runner.stop()

    def _call(self, function: Callable[..., Any], *words: object, **options: object) -> Any:  # noqa: ANN401 - dask-gateway has no types
        http = importlib.import_module("aiohttp")  # which dask-gateway needs
        refusals = (self._package.GatewayClusterError, self._package.GatewayServerError, http.ClientError)
        try:
            return self._runner.run_sync(function, *words, **options)
        except (*refusals, OSError, ValueError) as error:
            raise ClusterError(
                f"the gateway at {self._address}: {error or type(error).__name__}; its address comes from the "
                "specification file, and who you are (gateway.auth) from Dask's configuration"
            ) from error


def _package() -> Any:  # noqa: ANN401 - it has no types
    try:
        return importlib.import_module("dask_gateway")
    except ImportError as error:
        raise ClusterError(
            f"a Dask gateway needs dask-gateway ({error}); install it with `pip install 'tracin-dask[gateway]'`"
        ) from error
