"""Commands as processes of their own: their seconds, and the peak memory of all of them together."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.2


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


def run_measured(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Measured:
    """Run a command to its end and watch the memory of its process tree.

    Raises
    ------
    CommandError
        If it exits with another code than 0; with its last lines.
    """
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(command), stdout=output, stderr=subprocess.STDOUT, env=None if env is None else dict(env), cwd=cwd
        )
        watch = _Watch(process.pid)
        watch.start()
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            seconds = time.perf_counter() - start
            watch.stop()
        output.seek(0)
        text = output.read()
    if code != 0:
        raise CommandError(f"exit code {code} of {' '.join(map(str, command))}:\n{text[-3000:]}")
    return Measured(
        seconds=seconds,
        peak_bytes=watch.peak,
        peak_first_bytes=watch.peak_first,
        peak_others_bytes=watch.peak_others,
        memory_kind=watch.kind,
        output=text,
    )


class _Watch(threading.Thread):
    """Samples the memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._done = pid, threading.Event()
        self.peak = self.peak_first = self.peak_others = 0
        self.kind = "PSS" if hasattr(psutil.Process().memory_full_info(), "pss") else "RSS"

    def run(self) -> None:
        while not self._done.wait(INTERVAL_SECONDS):
            try:
                first = psutil.Process(self._pid)
                others = first.children(recursive=True)
            except psutil.NoSuchProcess:
                return
            mine, theirs = self._held(first), sum(map(self._held, others))
            self.peak = max(self.peak, mine + theirs)
            self.peak_first = max(self.peak_first, mine)
            self.peak_others = max(self.peak_others, theirs)

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _held(self, process: psutil.Process) -> int:
        try:
            return int(process.memory_full_info().pss if self.kind == "PSS" else process.memory_info().rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return 0
