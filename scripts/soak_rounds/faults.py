"""What is done to a run while it works: each fault is a function, and a line in the table below."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import psutil

from soak_rounds.clusters import RunningCluster
from soak_rounds.errors import SoakError, TooLateError
from soak_rounds.processes import workers_below

Place = Literal["local", "running"]
"""Workers that the run starts, or a cluster that is running."""
PLACES: tuple[Place, ...] = ("local", "running")
FILLER = "filler"
"""The file that fills the disk."""
END_SECONDS = 240.0
"""In which a disturbed run must end, whatever was done to it."""
STOP_SECONDS = 25.0
"""The same for a run that was asked to end: 10 seconds are promised, on a machine that has nothing else to do."""
LOST_SECONDS = 40.0
"""The same for a run that lost its scheduler: 15 seconds are promised."""
_PAUSES = (1, 8)
"""Seconds for which a process is stopped: from, to."""
_TOLD_SECONDS = 90
"""How long a worker stays stopped at most, until the run says so."""
_POLL_SECONDS = 0.1
_AT_WORK = "running in "
"""What a run says once its workers have started."""
_SILENT = "have not been heard of"
"""What it says of workers that are stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A run at work: its command, what it prints, its cluster if it did not start one, and the disk of its output."""

    client: "subprocess.Popen[bytes]"
    errors: Path
    cluster: RunningCluster | None
    disk: Path
    random: random.Random

    @property
    def is_running(self) -> bool:
        """Whether there is still something to disturb."""
        return self.client.poll() is None

    def said(self) -> str:
        """Read what the run printed until now."""
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def workers_at_work(self) -> list[psutil.Process]:
        """Wait until the workers have started, and list their processes as `workers` does."""
        while self.is_running and _AT_WORK not in self.said():
            time.sleep(_POLL_SECONDS)
        return self.workers()

    def workers(self) -> list[psutil.Process]:
        """Wait for worker processes, and list them in random order.

        Raises
        ------
        TooLateError
            If the run ended before.
        """
        parents = [self.client.pid] if self.cluster is None else [nanny.pid for nanny in self.cluster.workers]
        while self.is_running:
            found = [worker for parent in parents for worker in workers_below(parent)]
            if found:
                self.random.shuffle(found)
                return found
            time.sleep(_POLL_SECONDS)
        raise TooLateError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault, where it can happen, and how the run may end; with one error, too, if it need not succeed."""

    apply: Callable[[Victim], None]
    must_succeed: bool = False
    exit_code: int | None = None
    """Of a run that the fault itself ends."""
    end_seconds: float = END_SECONDS
    """How soon a run must end that does not succeed."""
    places: tuple[Place, ...] = PLACES
    needs_small_disk: bool = False


def _nothing(_victim: Victim) -> None:
    """Leave the run alone."""


def _kill_a_worker(victim: Victim) -> None:
    _signal(victim.workers_at_work()[0], signal.SIGKILL)


def _kill_a_starting_worker(victim: Victim) -> None:
    _signal(victim.workers()[0], signal.SIGKILL)


def _kill_all_workers(victim: Victim) -> None:
    for worker in victim.workers():
        _signal(worker, signal.SIGKILL)


def _ask_a_worker_to_end(victim: Victim) -> None:
    victim.random.choice(_cluster(victim).workers).terminate()


def _pause_a_worker(victim: Victim) -> None:
    with _stopped(victim.workers()[0]):
        time.sleep(victim.random.uniform(*_PAUSES))


def _pause_a_worker_until_told(victim: Victim) -> None:
    deadline = time.monotonic() + _TOLD_SECONDS
    with _stopped(victim.workers_at_work()[0]):
        while victim.is_running and _SILENT not in victim.said():
            if time.monotonic() > deadline:
                raise SoakError(f"a worker was stopped for {_TOLD_SECONDS} s, and the run did not say so")
            time.sleep(_POLL_SECONDS)


def _pause_the_client(victim: Victim) -> None:
    with _stopped(psutil.Process(victim.client.pid)):
        time.sleep(victim.random.uniform(*_PAUSES))


def _pause_the_scheduler(victim: Victim) -> None:
    with _stopped(psutil.Process(_cluster(victim).scheduler.pid)):
        time.sleep(victim.random.uniform(*_PAUSES))


def _kill_the_scheduler(victim: Victim) -> None:
    _cluster(victim).scheduler.kill()


def _kill_the_client(victim: Victim) -> None:
    victim.client.kill()


def _interrupt(victim: Victim) -> None:
    victim.client.send_signal(signal.SIGINT)


def _interrupt_twice(victim: Victim) -> None:
    victim.client.send_signal(signal.SIGINT)
    time.sleep(victim.random.uniform(0, 1))
    victim.client.send_signal(signal.SIGINT)


def _interrupt_the_group(victim: Victim) -> None:
    os.killpg(victim.client.pid, signal.SIGINT)  # as Ctrl-C in a terminal does


def _terminate(victim: Victim) -> None:
    victim.client.send_signal(signal.SIGTERM)


def _terminate_the_group(victim: Victim) -> None:
    os.killpg(victim.client.pid, signal.SIGTERM)  # as a batch system does


def _fill_the_disk(victim: Victim) -> None:
    with contextlib.suppress(OSError), (victim.disk / FILLER).open("wb", buffering=0) as file:  # until it is full
        while True:
            file.write(bytes(1 << 12))


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "undisturbed": Fault(apply=_nothing, must_succeed=True),
        "a worker is killed": Fault(apply=_kill_a_worker, must_succeed=True),
        "a worker is killed, perhaps while it starts": Fault(apply=_kill_a_starting_worker),
        "all workers are killed": Fault(apply=_kill_all_workers),
        "a worker is asked to end": Fault(apply=_ask_a_worker_to_end, must_succeed=True, places=("running",)),
        "a worker is stopped for seconds": Fault(apply=_pause_a_worker, must_succeed=True),
        "a worker is stopped until the run says so": Fault(apply=_pause_a_worker_until_told, must_succeed=True),
        "the client is stopped for seconds": Fault(apply=_pause_the_client, must_succeed=True),
        "the scheduler is stopped for seconds": Fault(
            apply=_pause_the_scheduler, must_succeed=True, places=("running",)
        ),
        "the scheduler is killed": Fault(apply=_kill_the_scheduler, end_seconds=LOST_SECONDS, places=("running",)),
        "the client is killed": Fault(apply=_kill_the_client, exit_code=-signal.SIGKILL),
        "SIGINT": Fault(apply=_interrupt, exit_code=130, end_seconds=STOP_SECONDS),
        "SIGINT, twice": Fault(apply=_interrupt_twice, exit_code=130, end_seconds=STOP_SECONDS),
        "SIGINT to the group": Fault(apply=_interrupt_the_group, exit_code=130, end_seconds=STOP_SECONDS),
        "SIGTERM": Fault(apply=_terminate, exit_code=143, end_seconds=STOP_SECONDS),
        "SIGTERM to the group": Fault(apply=_terminate_the_group, exit_code=143, end_seconds=STOP_SECONDS),
        "the disk is full": Fault(apply=_fill_the_disk, needs_small_disk=True),
    }
)


def _cluster(victim: Victim) -> RunningCluster:
    if victim.cluster is None:
        raise ValueError("this fault is one of a running cluster")
    return victim.cluster


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # the run ended meanwhile
        process.send_signal(number)


@contextlib.contextmanager
def _stopped(process: psutil.Process) -> Iterator[None]:
    _signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(process, signal.SIGCONT)
