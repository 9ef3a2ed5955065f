"""One round of a soak: a run is disturbed again and again until it is left in peace; nothing may be wrong or left."""

import contextlib
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from soak_rounds import checks
from soak_rounds.clusters import RunningCluster, running_cluster
from soak_rounds.errors import SoakError, TooLateError
from soak_rounds.faults import END_SECONDS, FAULTS, FILLER, Fault, Place, Victim
from soak_rounds.graph import Explained
from soak_rounds.processes import Marked


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """What all rounds share."""

    folder: Path
    disk: Path
    explained: Explained
    marked: Marked
    expected: Mapping[str, str]
    """The digests of an undisturbed run, by file."""
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

    def clear(self) -> None:
        """Make room after a violation: no process, no file."""
        self.marked.kill()
        for folder in (self.disk, self.marked.scratch):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def said(self) -> str:
        """Read what a run printed."""
        return self.errors.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended after a fault, and where it was."""

    name: str
    place: Place
    how: str


def play(arena: Arena, names: Sequence[str], chance: random.Random) -> Iterator[Ended]:
    """Disturb a run by one fault after another, each time it is given again, and at last let it finish.

    Raises
    ------
    SoakError
        If a run did not end, gave other bits, said something else than one clear error, or left something behind.
    """
    semaphores = checks.semaphores()
    has_remains = False
    for name in names:
        place: Place = chance.choice(FAULTS[name].places)
        with _naming(f"{name} ({place})"):
            code, how = _disturbed_in_time(arena, FAULTS[name], place, chance)
        is_killed = FAULTS[name].exit_code == -signal.SIGKILL
        has_remains = code != 0 or is_killed or (has_remains and place == "running")
        yield Ended(name=name, place=place, how=how)
    with _naming(f"after {', '.join(names)}"):
        if has_remains:  # a run that starts workers removes what was left by those of a killed client
            _finish(arena)
        checks.refuse_other_files(arena.output, None)
        checks.refuse_temporary_files(arena.marked.scratch)
        checks.refuse_left_semaphores(semaphores)


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say of a violation after which faults it was found."""
    try:
        yield
    except SoakError as error:
        raise SoakError(f"{what}: {error}") from error


def _disturbed_in_time(arena: Arena, fault: Fault, place: Place, chance: random.Random) -> tuple[int, str]:
    """Repeat a run until the fault happens before its end, at earlier moments each time; give exit code and ending."""
    latest = arena.seconds
    while (disturbed := _disturbed(arena, fault, place, chance, chance.uniform(0, latest))) is None:
        latest /= 2
    return disturbed


def _disturbed(
    arena: Arena, fault: Fault, place: Place, chance: random.Random, seconds: float
) -> tuple[int, str] | None:
    """Start a run, disturb it after some seconds, and check what became of it; None if it ended before."""
    with _cluster(arena, place) as cluster:
        client = _start(arena, cluster)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(timeout=seconds)
        said_before, is_in_time = len(arena.said()), client.poll() is None
        victim = Victim(client=client, errors=arena.errors, cluster=cluster, disk=arena.disk, random=chance)
        try:
            if is_in_time:
                fault.apply(victim)
        except TooLateError:
            is_in_time = False
        code = checks.ended(client, END_SECONDS if fault.must_succeed else fault.end_seconds, arena.errors)
    said = arena.said()[said_before:]
    how = checks.judged(fault if is_in_time else FAULTS["undisturbed"], code, said)
    (arena.disk / FILLER).unlink(missing_ok=True)
    checks.refuse_left_processes(arena.marked)
    if code and checks.is_complete(arena.output, arena.expected, said):  # the run was ended after its work
        code, how = 0, f"{how} after its work"
    if code == 0:
        _take_result(arena)
    return (code, how) if is_in_time else None


def _finish(arena: Arena) -> None:
    """Give the same command again, and leave it in peace: it must succeed."""
    code = checks.ended(_start(arena, None), END_SECONDS, arena.errors)
    if code:
        raise SoakError(f"the same command, given again, ended with {code}:\n{arena.said()[-3000:]}")
    checks.refuse_left_processes(arena.marked)
    _take_result(arena)


def _take_result(arena: Arena) -> None:
    """Compare the result, and make room for the next one."""
    checks.refuse_other_bits(arena.output, arena.expected)
    checks.refuse_other_files(arena.output, arena.expected)
    shutil.rmtree(arena.output)


@contextlib.contextmanager
def _cluster(arena: Arena, place: Place) -> Iterator[RunningCluster | None]:
    if place == "local":
        yield None
    else:
        with running_cluster(arena.marked, arena.folder) as cluster:
            yield cluster


def _start(arena: Arena, cluster: RunningCluster | None) -> "subprocess.Popen[bytes]":
    arena.errors.unlink(missing_ok=True)
    where = "local" if cluster is None else str(cluster.file)
    return arena.marked.start(arena.explained.command(arena.output, where), arena.errors)
