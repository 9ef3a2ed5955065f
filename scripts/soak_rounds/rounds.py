"""One round of a soak: a run is started, disturbed and watched to its end, then given again; nothing may be left."""

import contextlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soak_rounds.clusters import RunningCluster, running_cluster
from soak_rounds.faults import FAULTS, Fault, Place, Victim
from soak_rounds.graph import Explained, digest
from soak_rounds.processes import Marked

END_SECONDS = 240
"""In which a disturbed run must end, whatever was done to it."""
STOP_SECONDS = 10
"""In which a run must end that was asked to."""
LEAVE_SECONDS = 30
"""In which all processes of a run must be gone after it."""
_ALLOWED = ("dask-scratch-space", "dask-scratch-space/global.lock", "dask-scratch-space/purge.lock")
"""What Dask keeps in the folder of temporary files for the next cluster; empty, but for these."""
_STOPPED = {130: "SIGINT", 143: "SIGTERM"}


class SoakError(Exception):
    """Something is wrong after a fault; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """What all rounds share."""

    folder: Path
    disk: Path
    explained: Explained
    marked: Marked
    expected: str
    """The digest of an undisturbed run."""
    seconds: float
    """What an undisturbed run took."""

    @property
    def output(self) -> Path:
        """The folder of a run's result."""
        return self.disk / "why"

    @property
    def errors(self) -> Path:
        """What a run printed."""
        return self.folder / "run.log"


def play(arena: Arena, name: str, place: Place, chance: random.Random) -> str:
    """Disturb a run by a fault, then run it again if it did not succeed; say how it ended.

    Raises
    ------
    SoakError
        If the run did not end, gave other bits, said something else than one clear error, or left something behind.
    """
    fault = FAULTS[name]
    with _cluster(arena, place) as cluster:
        code = _disturbed(arena, fault, cluster, chance)
        ended = _judged(arena, name, fault, code)
    (arena.disk / "filler").unlink(missing_ok=True)
    _refuse_left_processes(arena)
    if code:
        with _cluster(arena, place) as cluster:
            _run_again(arena, cluster)
        _refuse_left_processes(arena)
    _refuse_other_bits(arena)
    _refuse_left_files(arena)
    shutil.rmtree(arena.output)
    return ended


@contextlib.contextmanager
def _cluster(arena: Arena, place: Place) -> Iterator[RunningCluster | None]:
    if place == "local":
        yield None
    else:
        with running_cluster(arena.marked, arena.folder) as cluster:
            yield cluster


def _disturbed(arena: Arena, fault: Fault, cluster: RunningCluster | None, chance: random.Random) -> int:
    """Start a run, disturb it at a random moment, and return its exit code."""
    client = _start(arena, cluster)
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.wait(timeout=chance.uniform(0, arena.seconds))
    if client.poll() is None:
        fault.apply(Victim(client=client, cluster=cluster, disk=arena.disk, random=chance))
    return _ended(client, END_SECONDS)


def _start(arena: Arena, cluster: RunningCluster | None) -> "subprocess.Popen[bytes]":
    where = "local" if cluster is None else cluster.address
    return arena.marked.start(arena.explained.command(arena.output, where), arena.errors)


def _ended(client: "subprocess.Popen[bytes]", seconds: float) -> int:
    try:
        return client.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        client.kill()
        client.wait()
        raise SoakError(f"the run had not ended after {seconds:.0f} s") from None


def _judged(arena: Arena, name: str, fault: Fault, code: int) -> str:
    """Say how the run ended, if it may end so."""
    said = arena.errors.read_text(encoding="utf-8", errors="replace")
    if "Traceback" in said:
        raise SoakError(f"exit code {code} with a traceback:\n{said[-3000:]}")
    if code == 0:
        _refuse_other_bits(arena)
        return "same bits"
    if fault.must_succeed:
        raise SoakError(f"exit code {code} although the run can go on:\n{said[-3000:]}")
    if code in _STOPPED:
        return f"stopped by {_STOPPED[code]}"
    if code < 0 and "client is killed" in name:
        return "killed"
    messages = [line for line in said.splitlines() if line.startswith("Error: ")]
    if code != 1 or len(messages) != 1:
        raise SoakError(f"exit code {code}, and not one message:\n{said[-3000:]}")
    return messages[0][:120]


def _run_again(arena: Arena, cluster: RunningCluster | None) -> None:
    """Give the same command again: it must succeed."""
    code = _ended(_start(arena, cluster), END_SECONDS)
    if code:
        said = arena.errors.read_text(encoding="utf-8", errors="replace")
        raise SoakError(f"the same command, given again, ended with {code}:\n{said[-3000:]}")


def _refuse_other_bits(arena: Arena) -> None:
    if digest(arena.output) != arena.expected:
        raise SoakError(f"the result in {arena.output} has other bits than that of an undisturbed run")


def _refuse_left_processes(arena: Arena) -> None:
    left = arena.marked.left_after(LEAVE_SECONDS)
    if left:
        arena.marked.kill()
        raise SoakError(f"{len(left)} process(es) were left after {LEAVE_SECONDS} s:\n" + "\n".join(left))


def _refuse_left_files(arena: Arena) -> None:
    scratch = arena.marked.scratch
    left = [str(path) for path in scratch.rglob("*") if str(path.relative_to(scratch)) not in _ALLOWED]
    left += [str(path) for path in arena.disk.rglob("*") if path.suffix != ".json" and path != arena.output]
    if left:
        raise SoakError("files were left:\n" + "\n".join(left))
