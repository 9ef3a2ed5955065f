"""What is done to a run while it works: each fault is a function, and a line in the table below."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import psutil

from soak_rounds.clusters import RunningCluster
from soak_rounds.processes import workers_below

Place = Literal["local", "running"]
"""Workers that the run starts, or a cluster that is running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A run at work: its command, its cluster if it did not start one, and the disk with its output."""

    client: "subprocess.Popen[bytes]"
    cluster: RunningCluster | None
    disk: Path
    random: random.Random

    def workers(self) -> list[psutil.Process]:
        """List the worker processes, in random order."""
        parents = [self.client.pid] if self.cluster is None else [nanny.pid for nanny in self.cluster.workers]
        found = [worker for parent in parents for worker in workers_below(parent)]
        self.random.shuffle(found)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault, where it can happen, and whether the run must succeed in spite of it."""

    apply: Callable[[Victim], None]
    must_succeed: bool = False
    places: tuple[Place, ...] = ("local", "running")
    needs_small_disk: bool = False


def _nothing(_victim: Victim) -> None:
    """Leave the run alone."""


def _kill_a_worker(victim: Victim) -> None:
    for worker in victim.workers()[:1]:
        _signal(worker, signal.SIGKILL)


def _terminate_a_worker(victim: Victim) -> None:
    for worker in victim.workers()[:1]:
        _signal(worker, signal.SIGTERM)


def _kill_all_workers(victim: Victim) -> None:
    for worker in victim.workers():
        _signal(worker, signal.SIGKILL)


def _pause_a_worker(victim: Victim) -> None:
    for worker in victim.workers()[:1]:
        _pause(worker, victim.random.uniform(1, 8))


def _pause_the_client(victim: Victim) -> None:
    _pause(psutil.Process(victim.client.pid), victim.random.uniform(1, 8))


def _pause_the_scheduler(victim: Victim) -> None:
    _pause(psutil.Process(_cluster(victim).scheduler.pid), victim.random.uniform(1, 8))


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


def _fill_the_disk(victim: Victim) -> None:
    with contextlib.suppress(OSError), (victim.disk / "filler").open("wb", buffering=0) as file:  # until it is full
        while True:
            file.write(bytes(1 << 12))


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "undisturbed": Fault(apply=_nothing, must_succeed=True),
        "a worker is killed": Fault(apply=_kill_a_worker, must_succeed=True),
        "a worker is terminated": Fault(apply=_terminate_a_worker, must_succeed=True),
        "all workers are killed": Fault(apply=_kill_all_workers),
        "a worker is stopped for seconds": Fault(apply=_pause_a_worker, must_succeed=True),
        "the client is stopped for seconds": Fault(apply=_pause_the_client, must_succeed=True),
        "the scheduler is stopped for seconds": Fault(
            apply=_pause_the_scheduler, must_succeed=True, places=("running",)
        ),
        "the scheduler is killed": Fault(apply=_kill_the_scheduler, places=("running",)),
        "the client is killed": Fault(apply=_kill_the_client),
        "SIGINT": Fault(apply=_interrupt),
        "SIGINT, twice": Fault(apply=_interrupt_twice),
        "SIGINT to the group": Fault(apply=_interrupt_the_group),
        "SIGTERM": Fault(apply=_terminate),
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


def _pause(process: psutil.Process, seconds: float) -> None:
    _signal(process, signal.SIGSTOP)
    time.sleep(seconds)
    _signal(process, signal.SIGCONT)
