"""Watches over the scheduler and the workers of a run: says who is missing or silent, and when nobody will come."""

import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tracin_dask.errors import ClusterError
from tracin_dask.patience import Patience

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

Workers = Mapping[str, Mapping[str, Any]]
"""What the scheduler knows of its workers, by their addresses."""


class Watch:
    """Looks at the workers of a client now and then, in a thread of its own, while the block lasts."""

    def __init__(self, client: "Client", patience: Patience, *, workers_return: bool = True) -> None:
        """Take a client, and whether workers may still come once all of them are gone."""
        self._client, self._patience, self._workers_return = client, patience, workers_return
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._seen: dict[str, tuple[float, float]] = {}
        self._ended = threading.Event()
        self._hopeless: str | None = None

    def __enter__(self) -> "Watch":
        """Start to look."""
        self._ended = threading.Event()
        threading.Thread(target=self._run, args=(self._ended,), name="watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._ended.set()

    def check(self) -> None:
        """Refuse to wait any longer for a cluster that is gone; called by whoever waits.

        Raises
        ------
        ClusterError
            If the scheduler is lost, or all workers are and no other will come.
        """
        if self._client.status != "running":
            raise lost(self._client)
        if self._hopeless is not None:
            raise ClusterError(self._hopeless)

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self._patience.look_seconds):
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        workers = self._workers()
        where = f"the scheduler at {_address(self._client)}"
        if workers is None:
            self._tell("scheduler", f"{where} does not answer; the run waits for it", now)
            return
        silent = self._silent(workers, now)
        if silent:
            self._tell(
                "silent",
                f"{len(silent)} of {len(workers)} worker(s) have not been heard of for {self._patience.tell_seconds:g} "
                f"s, {silent[0]} for one: stopped, out of memory, or cut off; the run waits for them",
                now,
            )
        if workers:
            self._since.pop("nobody", None)
        elif now - self._since.setdefault("nobody", now) < self._patience.tell_seconds:
            return
        elif self._workers_return:
            self._tell("nobody", f"{where} has no worker left; the run waits until some come", now)
        else:
            self._hopeless = (
                "all workers are gone, and no other will come; finished rows are kept. Most often workers run out of "
                "memory: give a smaller --batch-size, or fewer --workers with more memory each"
            )

    def _tell(self, trouble: str, message: str, now: float) -> None:
        """Say what the trouble is, once and then rarely."""
        if now - self._told.get(trouble, -math.inf) >= self._patience.repeat_seconds:
            self._told[trouble] = now
            logger.warning(message)

    def _workers(self) -> Workers | None:
        """Ask the scheduler for its workers; None if it does not answer."""
        try:
            limit, scheduler = self._patience.answer_seconds, self._client.scheduler
            if scheduler is None:
                return None
            workers: Workers = self._client.sync(scheduler.identity, n_workers=-1, callback_timeout=limit)["workers"]
        except Exception:  # noqa: BLE001 - whatever Dask raises for a scheduler that is gone or silent
            return None
        return workers

    def _silent(self, workers: Workers, now: float) -> list[str]:
        """Find workers that have not been heard of; the clocks of other machines do not matter."""
        before, self._seen = self._seen, {}
        for address, worker in workers.items():
            heard, since = before.get(address, (None, now))
            self._seen[address] = (worker["last_seen"], since if heard == worker["last_seen"] else now)
        return [address for address, (_, since) in self._seen.items() if now - since >= self._patience.tell_seconds]


def lost(client: "Client") -> ClusterError:
    """Say that the scheduler is lost."""
    return ClusterError(
        f"the scheduler at {_address(client)} is gone, or the connection to it; finished rows are kept: the same run "
        "continues from there once a scheduler runs again"
    )


def _address(client: "Client") -> str:
    return str(getattr(client.scheduler, "address", None) or "an unknown address")
