"""`scripts/soak`: runs that are killed, stopped and starved for some minutes; none may be wrong or leave anything."""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from uuid import uuid4

import click
from soak_rounds.faults import FAULTS, Place
from soak_rounds.graph import Explained, digest
from soak_rounds.memory import memory_of_many_runs
from soak_rounds.processes import Marked
from soak_rounds.rounds import Arena, SoakError, play
from soak_rounds.small_disk import small_disk

_MEMORY_SHARE = 1 / 3


@click.command(context_settings={"show_default": True, "max_content_width": 110})
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=30.0, help="How long.")
@click.option("--seed", type=int, default=0, help="Draws the faults and their moments.")
@click.option("--only", default="*", metavar="PATTERN", help="Faults whose name matches.")
@click.option("--memory/--no-memory", "with_memory", default=True, help="Spend a third of the time on memory.")
def command(minutes: float, seed: int, only: str, *, with_memory: bool) -> None:
    """Disturb runs at random moments, and check each one.

    Workers, scheduler and client are killed, stopped or interrupted, or the disk is full. A run must end with the same
    bits as an undisturbed one, or with one clear error; the same command, given again, must end with the same bits; no
    process, socket or temporary file may be left. Then one client runs again and again: no process may grow by more
    than 5 % after a warm-up. Exits with 1 at the first fault.
    """
    names = [name for name in FAULTS if fnmatchcase(name, only)]
    if not names:
        raise click.UsageError(f"no fault matches {only}; there are: {', '.join(FAULTS)}")
    seconds = minutes * 60
    with tempfile.TemporaryDirectory(prefix="soak-") as name, small_disk(Path(name) / "disk") as is_small:
        if not is_small:
            click.echo("no full disk in this soak: a small file system could not be mounted, which takes root's rights")
        usable = [name for name in names if is_small or not FAULTS[name].needs_small_disk]
        try:
            _soak(Path(name), usable, seconds, random.Random(seed), with_memory=with_memory)  # noqa: S311 - faults are no secrets
        except (SoakError, RuntimeError) as error:
            click.echo(f"FAULT: {error}")
            sys.exit(1)


def _soak(folder: Path, names: list[str], seconds: float, chance: random.Random, *, with_memory: bool) -> None:
    (folder / "tmp").mkdir()
    marked = Marked(mark=uuid4().hex, scratch=folder / "tmp")
    explained = Explained.make(folder / "graph")
    started = time.monotonic()
    try:
        arena = _arena(folder, explained, marked)
        for_rounds = seconds * (1 - _MEMORY_SHARE) if with_memory else seconds
        _play_rounds(arena, names, started + for_rounds, chance)
        if with_memory:
            _check_memory(arena, started + seconds - time.monotonic())
    finally:
        marked.kill()


def _arena(folder: Path, explained: Explained, marked: Marked) -> Arena:
    """Run undisturbed, to know the bits and the time."""
    started, output = time.monotonic(), folder / "disk" / "why"
    code = marked.start(explained.command(output, "local"), folder / "run.log").wait()
    if code:
        raise SoakError(f"an undisturbed run ended with {code}:\n{(folder / 'run.log').read_text(encoding='utf-8')}")
    found = digest(output)
    shutil.rmtree(output)
    return Arena(
        folder=folder,
        disk=folder / "disk",
        explained=explained,
        marked=marked,
        expected=found,
        seconds=time.monotonic() - started,
    )


def _play_rounds(arena: Arena, names: list[str], end: float, chance: random.Random) -> None:
    """Play rounds until the time is over: every fault in turn, in a new random order each time."""
    ends: Counter[str] = Counter()
    while time.monotonic() < end:
        for name in chance.sample(names, len(names)):
            place: Place = chance.choice(FAULTS[name].places)
            started = time.monotonic()
            if started >= end:
                break
            ended = play(arena, name, place, chance)
            ends[name] += 1
            click.echo(f"{name:<38} {place:<8} {time.monotonic() - started:5.0f} s  {ended}")
    click.echo(f"{ends.total()} rounds of {len(ends)} faults: same bits or a clear error, and nothing left")


def _check_memory(arena: Arena, seconds: float) -> None:
    grown = memory_of_many_runs(arena.marked, arena.explained, arena.folder, seconds)
    for one in grown:
        click.echo(f"{one} ({one.runs} runs)")
    if not all(one.is_flat for one in grown):
        raise SoakError("memory grows from run to run")


if __name__ == "__main__":
    command()
