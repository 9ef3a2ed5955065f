"""Asks who answers at an address, in bounded time: a scheduler, something else, or nobody."""

import asyncio
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

from distributed.core import rpc
from distributed.security import Security

from tracin_dask.errors import ClusterError, ConfigError

LOOK_SECONDS = 3.0
"""How long the second look at an address may take, which says why the first one failed."""
DASHBOARD_PORT = 8787
WORDS = {"Worker": "a worker of a cluster", "Nanny": "a nanny, the parent of a worker,"}
"""How Dask's servers call themselves, and how messages do."""


def refuse_no_scheduler(address: str, seconds: float) -> None:
    """Refuse an address where no scheduler answers; Dask's own client may wait for one forever.

    Raises
    ------
    ClusterError
        If nobody answers in time, or something else does: a dashboard, a worker, another program.
    ConfigError
        If the address has no port.
    """
    _refuse_no_port(address)
    asked = _Question(address, seconds)
    asked.start()
    asked.join()
    if asked.kind == "Scheduler":
        return
    if asked.kind is not None:
        who = WORDS.get(asked.kind, f"Dask's {asked.kind}")
        raise ClusterError(f"{who} answers at {address}, not a scheduler; give the address of its scheduler")
    found = _second_look(address)
    if isinstance(found, OSError):
        raise ClusterError(
            f"no scheduler answers at {address} within {seconds:g} s ({found.strerror or found}); start one with "
            "`dask scheduler` and workers with `dask worker ADDRESS --nthreads 1`, or check the address"
        )
    if found.startswith(b"HTTP/"):
        hint = f": {DASHBOARD_PORT} is usually its dashboard" if urlsplit(address).port == DASHBOARD_PORT else ""
        raise ClusterError(
            f"a web server answers at {address}, not a Dask scheduler{hint}; give the address that the scheduler "
            "prints when it starts, usually with port 8786"
        )
    raise ClusterError(
        f"something takes connections at {address}, and does not answer as a Dask scheduler ({asked.error}); check the "
        "address, whether it begins with tcp:// or tls://, the certificates, and whether the scheduler is stopped"
    )


def _refuse_no_port(address: str) -> None:
    with suppress(ValueError):  # a port of too many digits
        if urlsplit(address).hostname and urlsplit(address).port:
            return
    raise ConfigError(f"{address} has no host with a port; expected the address of a scheduler: tcp://10.0.0.1:8786")


class _Question(threading.Thread):
    """Asks a server for its kind, in a thread of its own: the caller's may have an event loop that runs."""

    def __init__(self, address: str, seconds: float) -> None:
        super().__init__(name="scheduler-probe", daemon=True)
        self.address, self.seconds = address, seconds
        self.kind: str | None = None
        self.error = "no answer"

    def run(self) -> None:
        try:
            self.kind = asyncio.run(asyncio.wait_for(self._kind(), self.seconds))
        except TimeoutError:
            self.error = f"no answer within {self.seconds:g} s"
        except OSError as error:
            self.error = str(error)
        except Exception:  # noqa: BLE001 - Dask raises anything when another program answers, a MemoryError for one
            self.error = "an answer in another protocol"

    async def _kind(self) -> str:
        arguments = Security().get_connection_args("client")
        async with rpc(self.address, timeout=self.seconds, connection_args=arguments) as server:
            return str((await server.identity())["type"])


def _second_look(address: str) -> bytes | OSError:
    """Connect without Dask, and give what a program answers to a question of a browser, or why nothing does."""
    where = urlsplit(address)
    try:
        one = socket.create_connection((where.hostname or "", where.port or 0), timeout=LOOK_SECONDS)
    except OSError as error:
        return error
    with one:
        try:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return one.recv(100)
        except TimeoutError:
            return b""
        except OSError as error:
            return error
