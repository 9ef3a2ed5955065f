"""Processes of a soak: found by a mark in their environment, whoever started them."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_MARK = "TRACIN_DASK_SOAK"
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Processes that carry one mark; their temporary files lie in a folder of their own."""

    mark: str
    scratch: Path

    def start(self, words: Sequence[str], errors: Path, **more: str) -> "subprocess.Popen[bytes]":
        """Start a command in a session of its own; what it prints is added to a file; `more` is its environment."""
        ours = {_MARK: self.mark, "TMPDIR": str(self.scratch), "PYTHONUNBUFFERED": "1"}
        environment = os.environ | ours | more
        with errors.open("ab") as file:
            return subprocess.Popen(
                words, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )

    def alive(self) -> list[psutil.Process]:
        """List the processes that carry the mark and have not ended."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def left_after(self, seconds: float) -> list[str]:
        """Wait until all have ended; describe those that have not."""
        deadline = time.monotonic() + seconds
        while (left := self.alive()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return [_described(process) for process in left]

    def kill(self) -> None:
        """Kill what is left."""
        for process in self.alive():
            process.kill()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == self.mark
        except psutil.Error:  # it ended, or belongs to somebody else
            return False


def tracin_dask(*words: str | Path) -> list[str]:
    """Give the command line of this environment's tracin-dask."""
    return [str(Path(sys.executable).with_name("tracin-dask")), *map(str, words)]


def workers_below(pid: int) -> list[psutil.Process]:
    """List the worker processes that a process started: Dask spawns them with multiprocessing."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if "spawn_main" in " ".join(_command_line(child))]


def mapped_inodes(folder: Path) -> set[int]:
    """Number the files of a folder that some process of this machine has mapped, as far as this one may see.

    A semaphore is mapped under a name that it has no more, so names do not tell.
    """
    lines = [line.split() for process in psutil.process_iter() for line in _maps(process.pid) if f"{folder}/" in line]
    return {int(words[4]) for words in lines}


def _maps(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    except OSError:  # it ended, or belongs to somebody else
        return []


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _described(process: psutil.Process) -> str:
    return f"process {process.pid}: {' '.join(_command_line(process))[:120]}"
