"""A cluster of this machine alone: it listens on the loopback interface and answers nobody without its certificate."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed.security import Security

LOOPBACK = "127.0.0.1"
SELDOM = {"distributed.admin.tick.interval": "200ms", "distributed.worker.profile.interval": "100ms"}
"""Dask's processes do this 50 and 100 times a second by default, which takes CPU time from the workers."""


@contextmanager
def of_this_machine() -> Iterator[dict[str, Any]]:
    """Give further arguments of a cluster of this machine; Dask has the settings of such clusters until the block ends.

    Scheduler and workers execute what they are sent, and every account of the machine reaches the loopback interface.
    So they take connections only from holders of a certificate, which is made for this cluster and kept in memory.
    """
    with dask.config.set(SELDOM):
        yield {"protocol": "tls", "security": Security.temporary()}
