"""Commands as processes of their own: their seconds, their output, and the peak memory of all of them together."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

INTERVAL_SECONDS = 0.2
PAUSES_PER_LOOK = 50
"""A look at a large process takes long; so many times as long nothing is looked at, to leave the CPU to the command."""
SCRIPTS = Path(__file__).resolve().parents[1]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How a command ran.

    Attributes
    ----------
    peak_bytes
        The most that the process and its descendants held at one time.
    peak_first_bytes, peak_others_bytes
        The most that the process itself held, and all its descendants together.
    memory_kind
        `PSS`: shared pages count once in all; `RSS`, where the system knows no PSS: they count in every process.
    """

    seconds: float
    peak_bytes: int
    peak_first_bytes: int
    peak_others_bytes: int
    memory_kind: str
    output: str


class CommandError(RuntimeError):
    """A measured command failed."""


def tracin_dask(*words: str | Path) -> list[str]:
    """Give the command line of this environment's tracin-dask."""
    return [str(Path(sys.executable).with_name("tracin-dask")), *map(str, words)]


def module_command(module: str, *words: str | Path) -> list[str]:
    """Give the command line of a module below scripts/."""
    return [sys.executable, "-P", "-m", module, *map(str, words)]


def child_environment() -> dict[str, str]:
    """Give the environment of a measured process: scripts/ on its path, and no number of threads of this process."""
    inherited = {name: value for name, value in os.environ.items() if name not in _THREADS}
    return inherited | {"PYTHONPATH": os.pathsep.join([str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])])}


def run_measured(command: Sequence[str]) -> Measured:
    """Run a command to its end and watch the memory of its process tree.

    Raises
    ------
    CommandError
        If it exits with another code than 0; with its last lines.
    """
    with tempfile.TemporaryFile("w+") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(list(command), stdout=output, stderr=subprocess.STDOUT, env=child_environment())
        watch = _Watch(process.pid)
        watch.start()
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            seconds = time.perf_counter() - begin
            watch.stop()
        output.seek(0)
        text = output.read()
    if code != 0:
        raise CommandError(f"exit code {code} of {' '.join(command)}:\n{text[-3000:]}")
    return Measured(
        seconds=seconds,
        peak_bytes=watch.peak,
        peak_first_bytes=watch.peak_first,
        peak_others_bytes=watch.peak_others,
        memory_kind=watch.kind,
        output=text,
    )


def start(command: Sequence[str]) -> "subprocess.Popen[str]":
    """Start a command whose output is one JSON value."""
    return subprocess.Popen(list(command), stdout=subprocess.PIPE, text=True, env=child_environment())


def collected_json(processes: "Iterable[subprocess.Popen[str]]") -> list[Any]:
    """Wait for started commands, and read what they printed.

    Raises
    ------
    CommandError
        If one of them failed.
    """
    outputs = [(process, process.communicate()[0]) for process in processes]
    for process, text in outputs:
        if process.returncode != 0:
            command = " ".join(map(str, process.args)) if isinstance(process.args, list) else process.args
            raise CommandError(f"exit code {process.returncode} of {command}: its message is above\n{text[-3000:]}")
    return [json.loads(text.splitlines()[-1]) for _, text in outputs]


class _Watch(threading.Thread):
    """Samples the memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._done = pid, threading.Event()
        self.peak = self.peak_first = self.peak_others = 0
        self.kind = "PSS" if hasattr(psutil.Process().memory_full_info(), "pss") else "RSS"

    def run(self) -> None:
        try:
            first = psutil.Process(self._pid)
            pause = INTERVAL_SECONDS
            while not self._done.wait(pause):
                begin = time.perf_counter()
                self._look(first)
                pause = max(INTERVAL_SECONDS, PAUSES_PER_LOOK * (time.perf_counter() - begin))
        except psutil.NoSuchProcess:
            return

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _look(self, first: psutil.Process) -> None:
        mine, theirs = self._held(first), sum(map(self._held, first.children(recursive=True)))
        self.peak = max(self.peak, mine + theirs)
        self.peak_first = max(self.peak_first, mine)
        self.peak_others = max(self.peak_others, theirs)

    def _held(self, process: psutil.Process) -> int:
        try:
            return int(process.memory_full_info().pss if self.kind == "PSS" else process.memory_info().rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return 0
