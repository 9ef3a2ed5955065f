"""A Dask gateway on the loopback interface, with its local backend: schedulers and workers are processes here."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doubles.ports import free_port

PASSWORD = "of the tests"  # noqa: S105 - nobody else's
SETTINGS = """
from dask_gateway_server.options import Integer, Options

c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = "{password}"
c.DaskGateway.address = "127.0.0.1:{inner}"
c.Proxy.address = "127.0.0.1:{web}"
c.Proxy.tcp_address = "127.0.0.1:{tcp}"
c.UnsafeLocalBackend.clusters_directory = "{folder}/clusters"
c.ClusterConfig.scheduler_cmd = ["{python}", "-m", "distributed.cli.dask_scheduler"]
c.ClusterConfig.worker_cmd = ["{python}", "-m", "distributed.cli.dask_worker"]
c.ClusterConfig.worker_cores = 1
c.Backend.cluster_options = Options(Integer("worker_cores", 1, min=1, max=2))
"""
START_SECONDS = 60


@contextmanager
def running_gateway(folder: Path) -> Iterator[tuple[str, str]]:
    """Give the addresses of the gateway and of its proxy for schedulers."""
    web, tcp = free_port(), free_port()
    values = {"password": PASSWORD, "inner": free_port(), "web": web, "tcp": tcp, "folder": folder}
    settings = folder / "settings.py"
    settings.write_text(SETTINGS.format(**values, python=sys.executable))
    program = Path(sys.executable).with_name("dask-gateway-server")
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    command = [program if program.exists() else shutil.which("dask-gateway-server"), "-f", settings]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            _wait(f"http://127.0.0.1:{web}/api/health", server)
            yield f"http://127.0.0.1:{web}", f"gateway://127.0.0.1:{tcp}"
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - of this machine
        except OSError:
            assert time.monotonic() < deadline, "the gateway does not start"
            assert server.poll() is None, "the gateway ended"
            time.sleep(0.1)
        else:
            return
