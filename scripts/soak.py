"""`scripts/soak`: runs that are killed, stopped and starved for some minutes; none may be wrong or leave anything."""

import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import click
from soak_rounds.errors import SoakError
from soak_rounds.faults import FAULTS
from soak_rounds.graph import Explained, digests
from soak_rounds.memory import LIMIT, memory_of_many_runs
from soak_rounds.processes import Marked
from soak_rounds.rounds import Arena, play
from soak_rounds.small_disk import small_disk

_MINUTE = 60
"""In seconds."""
_MEMORY_SHARE = 1 / 3
_MOST_FAULTS = 3
"""Of one round."""


@click.command(context_settings={"show_default": True, "max_content_width": 110})
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=30.0, help="How long.")
@click.option("--once", is_flag=True, help="Each fault once, all in one round, however long that takes.")
@click.option("--seed", type=int, default=0, help="Draws the faults and their moments.")
@click.option("--only", default=["*"], multiple=True, metavar="PATTERN", help="Faults whose name matches; repeatable.")
@click.option("--memory/--no-memory", "with_memory", default=True, help="Spend a third of the time on memory.")
def command(minutes: float, seed: int, only: Sequence[str], *, once: bool, with_memory: bool) -> None:
    """Disturb runs at random moments, and check each one.

    Workers, scheduler and client are killed, stopped or interrupted, or the disk is full: up to three faults, one after
    the other, while the same command is given again and again. A run must end with the same bits as an undisturbed one,
    or with one clear error; the command, given once more, must end with the same bits; no process, socket, semaphore or
    temporary file may be left. Then one client runs again and again: no process may grow by more than 5 % after a
    warm-up. Prints a line per fault and a summary, and exits with 1 if anything was wrong.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell ignores Ctrl-C for what it starts in the background
        signal.signal(number, signal.default_int_handler)
    names = [name for name in FAULTS if any(fnmatchcase(name, pattern) for pattern in only)]
    if not names:
        raise click.UsageError(f"no fault matches {', '.join(only)}; there are: {', '.join(FAULTS)}")
    with tempfile.TemporaryDirectory(prefix="soak-") as name, small_disk(Path(name) / "disk") as is_small:
        if not is_small:
            click.echo("no full disk in this soak: a small file system could not be mounted, which takes root's rights")
        usable = [name for name in names if is_small or not FAULTS[name].needs_small_disk]
        soak = Soak(folder=Path(name), names=usable, chance=random.Random(seed))  # noqa: S311 - faults are no secrets
        try:
            memory_seconds = minutes * _MINUTE * _MEMORY_SHARE if with_memory else 0.0
            soak.play(None if once else minutes * _MINUTE - memory_seconds)
            if with_memory:
                soak.check_memory(memory_seconds)
        except SoakError as error:
            soak.tell(error)
        finally:
            soak.marked.kill()
    sys.exit(1 if soak.violations else 0)


class Soak:
    """Rounds in one folder; counts how runs ended."""

    def __init__(self, folder: Path, names: Sequence[str], chance: random.Random) -> None:
        """Take a folder with room for a disk, the faults, and what draws them."""
        self._folder, self._names, self._chance = folder, names, chance
        (folder / "tmp").mkdir()
        self.marked = Marked(mark=uuid4().hex, scratch=folder / "tmp")
        self.violations = 0
        self._ends: dict[str, Counter[str]] = defaultdict(Counter)

    def play(self, seconds: float | None) -> None:
        """Play rounds for some time, each fault in turn, in a new random order each time; or all faults at once."""
        started, faults = time.monotonic(), self._shuffled()
        if seconds is None:
            self._round(faults)
        else:
            while time.monotonic() < started + seconds:
                number = self._chance.randint(1, _MOST_FAULTS)
                self._round(faults[:number])
                faults = faults[number:] or self._shuffled()
        self._sum_up()

    def check_memory(self, seconds: float) -> None:
        """Run again and again for some time, and look at memory."""
        grown = memory_of_many_runs(self.marked, self._arena.explained, self._arena.folder, seconds)
        for one in grown:
            click.echo(str(one))
        if not all(one.is_flat for one in grown):
            raise SoakError(f"memory grows from run to run by more than {LIMIT - 1:.0%}")

    def _shuffled(self) -> list[str]:
        return self._chance.sample(self._names, len(self._names))

    def tell(self, violation: SoakError) -> None:
        """Print and count a violation."""
        self.violations += 1
        click.echo(f"VIOLATION: {violation}")

    @cached_property
    def _arena(self) -> Arena:
        """Run undisturbed, to know the bits and the time."""
        explained = Explained.make(self._folder / "graph")
        started, disk, log = time.monotonic(), self._folder / "disk", self._folder / "run.log"
        code = self.marked.start(explained.command(disk / "why", "local"), log).wait()
        if code:
            raise SoakError(f"an undisturbed run ended with {code}:\n{log.read_text(encoding='utf-8')}")
        expected, seconds = digests(disk / "why"), time.monotonic() - started
        shutil.rmtree(disk / "why")
        click.echo(f"an undisturbed run takes {seconds:.0f} s and writes {len(expected)} files")
        return Arena(
            folder=self._folder, disk=disk, explained=explained, marked=self.marked, expected=expected, seconds=seconds
        )

    def _round(self, names: Sequence[str]) -> None:
        arena, started = self._arena, time.monotonic()
        try:
            for ended in play(arena, names, self._chance):
                self._ends[ended.name][ended.how.split(":")[0]] += 1
                click.echo(f"{ended.name:<46} {ended.place:<8} {time.monotonic() - started:5.0f} s  {ended.how}")
                started = time.monotonic()
        except SoakError as error:
            self.tell(error)
            arena.clear()

    def _sum_up(self) -> None:
        for name, ends in sorted(self._ends.items()):
            click.echo(f"{name:<46} {ends.total():4}: {', '.join(f'{how} {number}' for how, number in ends.items())}")
        total = sum(ends.total() for ends in self._ends.values())
        good = "same bits or a clear error, and nothing left"
        click.echo(
            f"{total} disturbed runs, {len(self._ends)} faults: {self.violations or 'no'} violation(s) of: {good}"
        )


if __name__ == "__main__":
    command()
