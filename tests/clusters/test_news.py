"""What Dask logs while a cluster is closed is hidden, and nothing else."""

import logging

import pytest

from tracin_dask.clusters.news import hide_late_workers


@pytest.mark.parametrize(("kind", "is_shown"), [(TimeoutError, False), (ValueError, True)])
def test_only_the_traceback_of_late_workers_is_hidden(caplog, kind, is_shown):
    hide_late_workers()
    logging.getLogger("tornado.application").error("Exception in callback", exc_info=kind("in a callback"))
    assert ("Exception in callback" in caplog.text) == is_shown
