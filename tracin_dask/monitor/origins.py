"""Which web pages may read the live figures of a dashboard: those of this machine, not any page in a browser."""

import socket

import dask
import psutil
from bokeh.server.tornado import BokehTornado
from distributed import Scheduler

SETTING = "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin"
"""Of Dask, whose default is everybody."""
EVERYBODY = ["*"]


def refuse_foreign_pages(scheduler: Scheduler) -> None:
    """Let the dashboard of a scheduler answer only pages from this machine, unless Dask's setting names others."""
    if dask.config.get(SETTING) != EVERYBODY:
        return
    for application in _applications(scheduler):
        application.websocket_origins.clear()
        application.websocket_origins.update(_this_machine())


def same_pages(application: BokehTornado, scheduler: Scheduler) -> None:
    """Let another page of the dashboard answer the pages that the others answer."""
    for other in _applications(scheduler):
        application.websocket_origins.clear()
        application.websocket_origins.update(other.websocket_origins)


def _applications(scheduler: Scheduler) -> list[BokehTornado]:
    return [found for found in scheduler.http_application.applications if isinstance(found, BokehTornado)]


def _this_machine() -> set[str]:
    """Name this machine in every way, with any port: the port of a tunnel may be another one than the dashboard's."""
    addresses = {one.address for interface in psutil.net_if_addrs().values() for one in interface}
    names = {"localhost", "127.0.0.1", socket.gethostname(), socket.getfqdn()} | addresses
    return {f"{name.lower()}:*" for name in names if ":" not in name}
