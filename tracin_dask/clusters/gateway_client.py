"""Calls of a Dask gateway, in a loop of their own, with its errors in words."""

import importlib
from collections.abc import Callable
from typing import Any

from distributed.security import Security
from distributed.utils import LoopRunner

from tracin_dask.errors import ClusterError

STATES = ("pending", "running", "stopping", "stopped", "failed")


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

        self._gateway = self._call(made)

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

    def scheduler(self, name: str) -> tuple[str, Security]:
        """Give the address of a running cluster's scheduler, and its certificate; raises as `state`."""

        async def asked() -> tuple[str, Security]:
            cluster = await self._gateway.connect(name)
            try:
                return cluster.scheduler_address, cluster.security
            finally:
                await cluster.close(shutdown=False)

        found: tuple[str, Security] = self._call(asked)
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
