"""A running cluster on this machine, for runs that start no workers."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soak_rounds.errors import SoakError
from soak_rounds.processes import Marked

NUM_WORKERS = 2
_START_SECONDS = 120
_SHORT_LOGS = {
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "20",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__LOG_LENGTH": "50",
}
"""Dask keeps the profiles of 1,000 seconds and the figures of an hour of each worker, and no more; here these are full
before memory is compared, so that only what grows for ever is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCluster:
    """A scheduler and workers with nannies, each a process of its own."""

    file: Path
    """The scheduler's own, with its address."""
    scheduler: "subprocess.Popen[bytes]"
    workers: tuple["subprocess.Popen[bytes]", ...]


@contextmanager
def running_cluster(marked: Marked, folder: Path) -> Iterator[RunningCluster]:
    """Start a cluster on the loopback interface, and end its processes, whatever became of them.

    Its folder is its own: a nanny that kills a worker leaves a lock file there, which is no matter of the run.
    """
    file = folder / "scheduler.json"
    for old in (file, *folder.glob("dask_*.log")):
        old.unlink(missing_ok=True)
    scheduler = _start(marked, folder, "scheduler", "--port", "0", "--scheduler-file", str(file))
    processes = [scheduler]
    try:
        _wait_for(file, scheduler)
        words = ("worker", "--scheduler-file", str(file), "--nthreads", "1", "--death-timeout", "20")
        processes.extend(_start(marked, folder, *words) for _ in range(NUM_WORKERS))
        yield RunningCluster(file=file, scheduler=scheduler, workers=tuple(processes[1:]))
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def _start(marked: Marked, folder: Path, name: str, *words: str) -> "subprocess.Popen[bytes]":
    module = [sys.executable, "-m", f"distributed.cli.dask_{name}"]
    common = ("--host", "127.0.0.1", "--no-dashboard")
    log = folder / f"dask_{name}.log"
    return marked.start([*module, *words, *common], log, DASK_TEMPORARY_DIRECTORY=str(folder / "dask"), **_SHORT_LOGS)


def _wait_for(file: Path, scheduler: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not (file.exists() and file.stat().st_size):
        if time.monotonic() > deadline or scheduler.poll() is not None:
            raise SoakError(f"the scheduler of the soak did not start within {_START_SECONDS} s")
        time.sleep(0.1)
