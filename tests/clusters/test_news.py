"""What Dask logs while a cluster is closed is hidden, and nothing else."""

import logging

import pytest
from distributed.comm.core import CommClosedError

from tracin_dask.clusters.news import hide_late_workers, hide_lost_peers


@pytest.mark.parametrize(("kind", "is_shown"), [(TimeoutError, False), (ValueError, True)])
def test_only_the_traceback_of_late_workers_is_hidden(caplog, kind, is_shown):
    hide_late_workers()
    logging.getLogger("tornado.application").error("Exception in callback", exc_info=kind("in a callback"))
    assert ("Exception in callback" in caplog.text) == is_shown


@pytest.mark.parametrize(
    ("message", "kind", "is_shown"),
    [
        ("Failed to communicate with scheduler during heartbeat.", CommClosedError, False),
        ("Failed to communicate with scheduler during heartbeat.", ValueError, True),
        ("Worker stream died during communication: %s", CommClosedError, False),
        ("Worker stream died during communication: %s", ConnectionResetError, False),
        ("Worker stream died during communication: %s", ValueError, True),
        ("Compute Failed: %s", OSError, True),
    ],
)
def test_a_worker_hides_only_the_tracebacks_of_lost_connections(caplog, monkeypatch, message, kind, is_shown):
    log = logging.getLogger("distributed.worker")
    monkeypatch.setattr(log, "filters", [])
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    monkeypatch.setattr(log, "propagate", False)
    hide_lost_peers()
    log.error(message, *(["tcp://127.0.0.1:1"] if "%s" in message else []), exc_info=kind("gone"))
    assert len(caplog.records) == is_shown
