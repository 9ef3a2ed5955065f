"""A running cluster on this machine, for runs that start no workers."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soak_rounds.processes import Marked

NUM_WORKERS = 2
_START_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCluster:
    """A scheduler and workers with nannies, each a process of its own."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: tuple["subprocess.Popen[bytes]", ...]


@contextmanager
def running_cluster(marked: Marked, folder: Path) -> Iterator[RunningCluster]:
    """Start a cluster on the loopback interface, and end its processes, whatever became of them."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    scheduler = _start(marked, folder, "scheduler", "--port", "0", "--scheduler-file", str(file))
    processes = [scheduler]
    try:
        address = _address(file, scheduler)
        words = ("worker", address, "--nthreads", "1", "--death-timeout", "20")
        processes.extend(_start(marked, folder, *words) for _ in range(NUM_WORKERS))
        yield RunningCluster(address=address, scheduler=scheduler, workers=tuple(processes[1:]))
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
    return marked.start([*module, *words, "--host", "127.0.0.1", "--no-dashboard"], folder / f"{name}.log")


def _address(file: Path, scheduler: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and scheduler.poll() is None:
        if file.exists() and (text := file.read_text(encoding="utf-8")):
            address: str = json.loads(text)["address"]
            return address
        time.sleep(0.1)
    raise TimeoutError(f"the scheduler of the soak did not start within {_START_SECONDS} s")
