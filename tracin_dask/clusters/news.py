"""Which of Dask's log records are news: what it prints because something is being closed is none."""

import logging
from asyncio import CancelledError

from distributed import Worker, WorkerPlugin
from distributed.comm.core import CommClosedError


class QuietEnd(WorkerPlugin):
    """Hides tracebacks of a worker that ends, or loses its scheduler or another worker; the client says that."""

    name = "tracin-dask-quiet-end"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's signature
        """Filter the records of the worker's process."""
        hide_lost_peers()


def hide_lost_peers() -> None:
    """Hide the traceback of a worker of this process whose scheduler, or whose source of results, is gone."""
    logging.getLogger("distributed.worker").addFilter(_is_no_lost_peer)


def hide_lost_clients() -> None:
    """Hide the traceback of a client of this process that is closed while it looks for a lost scheduler; for good."""
    logging.getLogger("distributed.client").addFilter(_is_no_lost_client)


def hide_late_workers() -> None:
    """Hide the traceback of workers that do not end in time while a cluster is closed, which is said in words."""
    logging.getLogger("tornado.application").addFilter(_is_no_timeout)


def _is_no_timeout(record: logging.LogRecord) -> bool:
    return not _holds(record, TimeoutError)


def _is_no_lost_peer(record: logging.LogRecord) -> bool:
    """Tell whether a record is neither of a heartbeat nor of a fetched result that the other end did not survive."""
    message = str(record.msg)
    if "heartbeat" in message:
        return not _holds(record, CommClosedError)
    return "Worker stream died" not in message or not _holds(record, OSError)


def _is_no_lost_client(record: logging.LogRecord) -> bool:
    return not _holds(record, CancelledError)


def _holds(record: logging.LogRecord, kind: type[BaseException]) -> bool:
    """Tell whether a record shows an error of some kind."""
    found = record.exc_info[0] if record.exc_info else None
    return found is not None and issubclass(found, kind)
