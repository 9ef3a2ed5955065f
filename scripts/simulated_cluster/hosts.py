"""Processes on the loopback interface: one with a scheduler, a few with many simulated workers each."""

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Scheduler, Worker

from tracin_dask.clusters.local import LOOPBACK

START_TOGETHER = 25
"""Workers that one process starts at a time."""
START_TIMEOUT_SECONDS = 300
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.tick.cycle": "1h",
    "distributed.worker.use-file-locking": False,
    "distributed.comm.timeouts.connect": "120s",
}
"""What every real worker does on its own CPU many times a second; a thousand on one CPU leave no time for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process has used so far."""

    cpu_seconds: float
    peak_bytes: int


def usage() -> Usage:
    """Measure the calling process (on Linux; getrusage would count the peak of the process that started it)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return Usage(cpu_seconds=time.process_time(), peak_bytes=1024 * int(status["VmHWM"].split()[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCluster:
    """An open cluster, and one worker of each process."""

    client: Client
    one_of_each_process: list[str]

    def scheduler_usage(self) -> Usage:
        """Measure the scheduler's process."""
        return self.client.run_on_scheduler(usage)

    def on_hosts(self, function: Any, *arguments: object) -> list[Any]:  # noqa: ANN401 - any function, any answer
        """Call a function once in every process of workers."""
        return list(self.client.run(function, *arguments, workers=self.one_of_each_process).values())


@contextmanager
def simulated_cluster(num_workers: int, num_processes: int, folder: Path) -> Iterator[SimulatedCluster]:
    """Start a scheduler and workers with one thread each, and end their processes at the end."""
    spawn = multiprocessing.get_context("spawn")
    processes: list[Any] = []
    try:
        ours, theirs = spawn.Pipe()
        processes.append(spawn.Process(target=_scheduler, args=(theirs,), daemon=True))
        processes[0].start()
        address = _receive(ours)
        ends = []
        for number in range(num_processes):
            count = len(range(number, num_workers, num_processes))
            ours, theirs = spawn.Pipe()
            processes.append(spawn.Process(target=_workers, args=(theirs, address, count, str(folder)), daemon=True))
            processes[-1].start()
            ends.append(ours)
        first = [_receive(end) for end in ends]
        with dask.config.set(QUIET), Client(address, set_as_default=False, timeout=60) as client:
            client.wait_for_workers(num_workers, timeout=START_TIMEOUT_SECONDS)
            yield SimulatedCluster(client=client, one_of_each_process=first)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _receive(connection: Connection) -> str:
    if not connection.poll(START_TIMEOUT_SECONDS):
        raise TimeoutError(f"a process of the simulation did not start within {START_TIMEOUT_SECONDS} s")
    return str(connection.recv())


def _scheduler(connection: Connection) -> None:
    async def serve() -> None:
        async with Scheduler(host=LOOPBACK, port=0, dashboard_address=f"{LOOPBACK}:0") as scheduler:
            connection.send(scheduler.address)
            await scheduler.finished()

    logging.getLogger("distributed").setLevel(logging.ERROR)
    asyncio.run(serve())


def _workers(connection: Connection, address: str, count: int, folder: str) -> None:
    async def serve() -> None:
        workers = []
        for first in range(0, count, START_TOGETHER):
            started = [_worker(address, folder) for _ in range(first, min(first + START_TOGETHER, count))]
            workers += await asyncio.gather(*started)
        connection.send(workers[0].address)
        await asyncio.gather(*(worker.finished() for worker in workers))

    logging.getLogger("distributed").setLevel(logging.ERROR)
    with dask.config.set(QUIET):
        asyncio.run(serve())


def _worker(address: str, folder: str) -> Worker:
    return Worker(address, nthreads=1, memory_limit=0, host=LOOPBACK, dashboard=False, local_directory=folder)
