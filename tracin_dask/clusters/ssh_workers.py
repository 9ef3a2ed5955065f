"""The workers of an SSH cluster: one connection per host, watched; a lost one is said, and tried again."""

import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracin_dask.clusters.log_end import end_of, last_line, reason
from tracin_dask.clusters.ssh_command import NO_CONNECTION
from tracin_dask.patience import Patience

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
RETRY_SECONDS = 10.0
"""How long after the end of a connection the next one is made."""
ANSWER_SECONDS = 10.0
"""How long the scheduler may take to answer or to forget the workers of a lost host."""


@dataclass(slots=True, kw_only=True)
class Connection:
    """The connection to one host, with the process of `ssh` that holds it."""

    host: str
    name: str
    """That the names of its workers begin with."""
    command: Sequence[str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    again: float = 0.0
    """When the next connection is to be made."""
    is_lost: bool = False
    exit_code: int | None = None
    """Of the last `ssh` that ended."""
    begin: int = 0
    """Where the output of this connection begins in the log."""

    def start(self, secret: bytes) -> None:
        """Connect, and send the line that starts the workers."""
        with self.log.open("ab") as log:
            self.begin = log.tell()
            self.process = subprocess.Popen(  # noqa: S603 - the command of a specification file
                self.command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        self._send(secret)

    def _send(self, secret: bytes) -> None:
        assert self.process is not None and self.process.stdin is not None  # noqa: S101, PT018 - was started so
        try:
            self.process.stdin.write(secret + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # `ssh` has ended at once: the watch sees that
            return

    @property
    def last_words(self) -> str:
        """Why this connection or the last one ended: in the words of `ssh` if it failed itself, else of the workers."""
        text = end_of(self.log, self.begin)
        return last_line(text) if self.exit_code == NO_CONNECTION else reason(text)

    def has_ended(self) -> bool:
        """Tell whether `ssh` ended."""
        if self.process is None or self.process.poll() is None:
            return False
        self.exit_code = self.process.returncode
        return True

    def hang_up(self) -> None:
        """Close the connection: that ends the workers."""
        if self.process is not None and self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:  # what was written to `ssh` was never read
                return

    def end(self, seconds: float) -> None:
        """Wait until `ssh` has ended, and kill it if it takes too long."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            logger.warning("%s: the workers do not end in time; the connection is closed", self.host)
            self.process.kill()
            self.process.wait()


class Registered:
    """The workers that a scheduler of this process knows."""

    def __init__(self, cluster: Any) -> None:  # noqa: ANN401 - Dask has no types
        """Take the cluster whose scheduler it is."""
        self._cluster = cluster

    def has(self, name: str) -> bool:
        """Tell whether there are workers whose names begin so."""
        return bool(self._cluster.sync(self._addresses, name, callback_timeout=ANSWER_SECONDS))

    def forget(self, name: str) -> None:
        """Remove workers whose names begin so: their tasks run elsewhere, and are not blamed for the loss."""
        self._cluster.sync(self._remove, name, callback_timeout=ANSWER_SECONDS)

    async def _addresses(self, name: str) -> list[str]:
        workers = self._cluster.scheduler.workers
        return [address for address, worker in workers.items() if f"{worker.name}-".startswith(f"{name}-")]

    async def _remove(self, name: str) -> None:
        for address in await self._addresses(name):
            await self._cluster.scheduler.remove_worker(address, stimulus_id="ssh-connection-lost", expected=True)


class RemoteWorkers:
    """Keeps the workers of all hosts running while the block lasts."""

    def __init__(
        self, connections: Sequence[Connection], secret: bytes, registered: Registered, patience: Patience
    ) -> None:
        """Take the connections, the line to send, the workers that the scheduler knows, and how long ends may take."""
        self._connections, self._secret, self._registered = connections, secret, registered
        self._patience = patience
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ssh-workers", daemon=True)

    def __enter__(self) -> "RemoteWorkers":
        """Connect to all hosts."""
        for one in self._connections:
            one.start(self._secret)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the workers of all hosts."""
        is_stopped = kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit)
        seconds = self._patience.stop_seconds if is_stopped else self._patience.close_seconds
        self._ended.set()
        self._thread.join(seconds)
        for one in self._connections:
            one.hang_up()
        deadline = time.monotonic() + seconds
        for one in self._connections:
            one.end(deadline - time.monotonic())

    @property
    def last_words(self) -> list[str]:
        """The end of every host's log, with its name."""
        return [f"{one.host}: {one.last_words}" for one in self._connections if one.last_words]

    @property
    def all_lost(self) -> bool:
        """Whether no host is left."""
        return all(one.is_lost for one in self._connections)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            for one in self._connections:
                with suppress(TimeoutError):  # a busy scheduler is asked again
                    self._look(one, time.monotonic())

    def _look(self, one: Connection, now: float) -> None:
        if one.process is not None and one.has_ended():
            self._registered.forget(one.name)
            one.hang_up()
            one.process, one.again = None, now + RETRY_SECONDS
            if not one.is_lost:
                logger.warning(
                    "the SSH connection to %s is lost (%s): its work goes to other hosts, and a new connection is "
                    "tried every %g s",
                    one.host,
                    one.last_words or "without a message",
                    RETRY_SECONDS,
                )
            one.is_lost = True
        elif one.process is None and now >= one.again:
            one.start(self._secret)
        elif one.is_lost and self._registered.has(one.name):
            one.is_lost = False
            logger.warning("%s is back", one.host)
