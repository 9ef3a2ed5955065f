"""Which of Dask's log records are news: what it prints because something is being closed is none."""

import logging
from asyncio import CancelledError

from distributed import Worker, WorkerPlugin
from distributed.comm.core import CommClosedError


class QuietEnd(WorkerPlugin):
    """Hides the traceback of a worker that ends, or loses its scheduler, during a heartbeat; the client says that."""

    name = "tracin-dask-quiet-end"

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's signature
        """Filter the records of the worker's process."""
        logging.getLogger("distributed.worker").addFilter(_is_no_last_heartbeat)


def hide_lost_clients() -> None:
    """Hide the traceback of a client of this process that is closed while it looks for a lost scheduler; for good."""
    logging.getLogger("distributed.client").addFilter(_is_no_lost_client)


def hide_late_workers() -> None:
    """Hide the traceback of workers that do not end in time while a cluster is closed, which is said in words."""
    logging.getLogger("tornado.application").addFilter(_is_no_timeout)


def _is_no_timeout(record: logging.LogRecord) -> bool:
    return not _holds(record, TimeoutError)


def _is_no_last_heartbeat(record: logging.LogRecord) -> bool:
    return "heartbeat" not in str(record.msg) or not _holds(record, CommClosedError)


def _is_no_lost_client(record: logging.LogRecord) -> bool:
    return not _holds(record, CancelledError)


def _holds(record: logging.LogRecord, kind: type[BaseException]) -> bool:
    """Tell whether a record shows an error of some kind."""
    found = record.exc_info[0] if record.exc_info else None
    return found is not None and issubclass(found, kind)
